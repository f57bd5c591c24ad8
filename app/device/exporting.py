"""An adapter in forms that other programs take: PEFT, GGUF adapter, merged GGUF, Ollama's Modelfile.

What leaves stands on the bare model: where an adapter was trained on top of a task base, the two LoRAs become one of
both ranks, which computes the same. Knows folders and files, no store.
"""

import json
from pathlib import Path
from typing import Any

from app.device.adapters import LICENCE
from app.device.catalogue import LocalModel
from app.device.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from app.device.rendering import Message, end_of_turn, render_prompt
from app.device.tokenising import Tokeniser
from app.device.writing import writing
from app.errors import AdapterRefused, BadInput, ModelDamaged

_FIRST, _SECOND = ".lora_A.weight", ".lora_B.weight"
MODELFILE = "Modelfile"
_MARKS = ("first", "answer", "second")
"""Contents of a short conversation, from which the parts of a template are read."""
_INSTRUCTIONS = "what to do"
"""Content of its system turn, where there is one."""


def _config(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    return content


def _matrices(folder: Path) -> dict[str, tuple[Any, Any]]:
    """By layer the two matrices in float32, alpha / rank multiplied into the second."""
    from safetensors.numpy import load_file

    config, tensors = _config(folder), load_file(folder / ADAPTER_WEIGHTS)
    scale = config["lora_alpha"] / config["r"]
    layers = [name.removesuffix(_FIRST) for name in tensors if name.endswith(_FIRST)]
    return {
        layer: (tensors[layer + _FIRST].astype("float32"), tensors[layer + _SECOND].astype("float32") * scale)
        for layer in layers
    }


def join(under: Path, over: Path, out: Path) -> None:
    """Writes the sum of two PEFT LoRAs as one into the folder `out`, with the licence of what `under` learned from.

    [B_u B_o] [A_u; A_o] = B_u A_u + B_o A_o: the rank is the sum of both ranks. Raises AdapterRefused where they have
    other layers, DiskFull and NotWritten.
    """
    import numpy as np
    from safetensors.numpy import save_file

    first, second = _matrices(under), _matrices(over)
    if set(first) != set(second):
        raise AdapterRefused(
            f"The adapter {over.name} and its base {under.name} change different layers, so they cannot be joined;"
            " train the adapter again."
        )
    tensors = {}
    for layer, (rows, columns) in first.items():
        tensors[layer + _FIRST] = np.concatenate([rows, second[layer][0]])
        tensors[layer + _SECOND] = np.concatenate([columns, second[layer][1]], axis=1)
    rank = next(iter(tensors.values())).shape[0]
    with writing("The adapter", out):
        save_file(tensors, out / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        (out / ADAPTER_CONFIG).write_text(
            json.dumps({**_config(over), "r": rank, "lora_alpha": rank}, indent=2), "utf-8"
        )
        if (under / LICENCE).is_file():
            (out / LICENCE).write_bytes((under / LICENCE).read_bytes())


def _between(tokeniser: Tokeniser) -> tuple[str, str, str]:
    """What a template writes before the first content, behind what the person said, and behind an answer."""
    talk = [Message("user", _MARKS[0]), Message("assistant", _MARKS[1]), Message("user", _MARKS[2])]
    text = tokeniser.decode(render_prompt(tokeniser, talk))
    before, rest = text.split(_MARKS[0], 1)
    behind_user, rest = rest.split(_MARKS[1], 1)
    behind_answer, end = rest.split(_MARKS[2], 1)
    if end != behind_user:
        raise AdapterRefused(
            "The model's chat template does not treat all turns alike, so it cannot be written as a Modelfile; export"
            " the merged GGUF instead, which carries the template itself."
        )
    return before, behind_user, behind_answer


def _around_instructions(tokeniser: Tokeniser) -> tuple[str, str] | None:
    """What a template writes before and behind a system turn's content; None where it takes no such turn."""
    try:
        ids = render_prompt(tokeniser, [Message("system", _INSTRUCTIONS), Message("user", _MARKS[0])])
    except (BadInput, ModelDamaged):
        return None
    before, found, rest = tokeniser.decode(ids).partition(_INSTRUCTIONS)
    return (before, rest.split(_MARKS[0], 1)[0]) if found else None


def _system_part(tokeniser: Tokeniser, usual: str, opens: str) -> str:
    """The beginning in Go's template language: the person's own system turn, else what the model's template has."""
    around = _around_instructions(tokeniser)
    if around is None or not around[1].endswith(opens):
        return usual
    before, behind = around
    return (
        f"{{{{ if .System }}}}{before}{{{{ .System }}}}{behind.removesuffix(opens)}{{{{ else }}}}{usual}{{{{ end }}}}"
    )


def _common_end(one: str, other: str) -> str:
    """The longest text that both end with."""
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return one[len(one) - length :]


def modelfile(tokeniser: Tokeniser, model: str, adapter: str, licence: str = "") -> str:
    """An Ollama Modelfile for files beside it; its template gives the very prompts that the adapter learned with.

    Format: https://docs.ollama.com/modelfile. Raises AdapterRefused for a template that cannot be said in Go's.
    """
    before, behind_user, behind_answer = _between(tokeniser)
    opens = _common_end(before, behind_answer)
    closes = behind_answer.removesuffix(opens)
    system = _system_part(tokeniser, before.removesuffix(opens), opens)
    user = f'{{{{ if eq .Role "user" }}}}{opens}{{{{ .Content }}}}{behind_user}'
    answer = f'{{{{ else if eq .Role "assistant" }}}}{{{{ .Content }}}}{closes}'
    template = f"{system}{{{{ range .Messages }}}}{user}{answer}{{{{ end }}}}{{{{ end }}}}"
    lines = [
        f"FROM ./{model}",
        f"ADAPTER ./{adapter}",
        f'TEMPLATE """{template}"""',
        f'PARAMETER stop "{tokeniser.decode([end_of_turn(tokeniser)])}"',
        "PARAMETER temperature 0",
        *([f'LICENSE """{licence}"""'] if licence else []),
    ]
    return "\n".join(lines) + "\n"


def require_gguf(model: LocalModel) -> Path:
    """The file of a GGUF model; raises AdapterRefused for a folder of safetensors."""
    if model.kind != "gguf":
        raise AdapterRefused(
            f"This form needs a GGUF base, but {model.name} is a folder of safetensors; export the adapter as a PEFT"
            " folder or as a GGUF adapter."
        )
    return model.path
