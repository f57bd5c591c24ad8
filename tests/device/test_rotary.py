import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.device import weights
from app.device.catalogue import LocalModel
from app.device.layers import hidden_states
from app.device.rotary import rotary_scaling
from app.errors import BadInput
from tests.device.test_gguf_adapter import llama_logits, torch_logits
from tests.tiny import CONTEXT, Architecture, tiny_folder, tiny_gguf

PROMPT = [int(number) for number in np.random.default_rng(0).integers(0, 256, 300)]
DIVISORS = [1.0, 1.0, 1.0, 4.0, 16.0, 32.0, 32.0, 32.0]
LINEAR = {"scaling.type": "linear", "scaling.factor": 4.0}
YARN = {"scaling.type": "yarn", "scaling.factor": 4.0, "scaling.original_context_length": CONTEXT // 4}
SCALED: list[tuple[Architecture, dict[str, Any]]] = [
    ("llama", {"divisors": DIVISORS}),
    ("llama", {"scaling": LINEAR}),
    ("llama", {"scaling": {"scale_linear": 4.0}}),
    ("llama", {"scaling": YARN | {"scaling.finetuned": True}}),
    ("qwen2", {"scaling": LINEAR}),
    ("qwen2", {"scaling": YARN}),
]


def prepare(path: Path, cache: Path) -> Path:
    return weights.prepare(LocalModel(path.stem, path, "gguf"), cache, lambda _: None)


def rope_parameters(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())["rope_parameters"]


def scale(folder: Path, scaling: dict[str, Any]) -> Path:
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] |= scaling
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(("architecture", "said"), SCALED)
def test_with_scaled_frequencies_transformers_computes_what_llama_cpp_does(
    tmp_path: Path, architecture: Architecture, said: dict[str, Any]
) -> None:
    gguf, folder = tiny_gguf(tmp_path, architecture, **said), tiny_folder(tmp_path, architecture)
    served = llama_logits(gguf, None, PROMPT)
    assert np.abs(served - torch_logits(folder, None, PROMPT)).max() > 0.3
    assert np.abs(served - torch_logits(scale(folder, rotary_scaling(gguf)), None, PROMPT)).max() < 2e-3


def test_the_unpacked_model_has_the_scaling_in_its_configuration(tmp_path: Path) -> None:
    gguf = tiny_gguf(tmp_path, divisors=DIVISORS)
    told = rope_parameters(prepare(gguf, tmp_path / "cache"))
    assert told == {"rope_theta": 10_000.0, **rotary_scaling(gguf)}
    assert told["short_factor"] == DIVISORS


def test_the_layers_that_learn_compute_with_the_scaling(tmp_path: Path) -> None:
    import torch
    import transformers

    folder = scale(tiny_folder(tmp_path), rotary_scaling(tiny_gguf(tmp_path, divisors=DIVISORS)))
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor(PROMPT)
    with torch.no_grad():
        ours = hidden_states(network, ids, [len(PROMPT)], torch.arange(len(PROMPT)))
        theirs = network.base_model(ids[None]).last_hidden_state[0]
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_a_folder_that_was_unpacked_without_the_scaling_is_not_used(tmp_path: Path) -> None:
    gguf, cache = tiny_gguf(tmp_path, scaling=LINEAR), tmp_path / "cache"
    before = cache / f"{gguf.stem}-{weights.file_hash(gguf)[:16]}"
    before.mkdir(parents=True)
    assert rope_parameters(prepare(gguf, cache))["rope_type"] == "linear"


@pytest.mark.parametrize("scaling", [{}, {"scaling.type": "none", "scaling.factor": 4.0}, {"scaling.factor": 1.0}])
def test_a_file_that_scales_nothing_is_unpacked_as_before(tmp_path: Path, scaling: dict[str, Any]) -> None:
    gguf = tiny_gguf(tmp_path, scaling=scaling)
    folder = prepare(gguf, tmp_path / "cache")
    assert folder.name == f"{gguf.stem}-{weights.file_hash(gguf)[:16]}"
    assert rope_parameters(folder) == {"rope_theta": 10_000.0, "rope_type": "default"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"scaling": {"scaling.type": "longrope", "scaling.factor": 4.0}}, r"rope\.scaling\.type longrope"),
        ({"scaling": YARN | {"scaling.attn_factor": 2.0}}, r"rope\.scaling\.attn_factor"),
        ({"scaling": LINEAR, "divisors": DIVISORS}, r"rope_freqs\.weight beside rope\.scaling\.type"),
    ],
)
def test_a_scaling_that_transformers_has_no_words_for_is_refused_before_anything_is_unpacked(
    tmp_path: Path, said: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadInput, match=rf"{why}.*choose another model"):
        prepare(tiny_gguf(tmp_path, **said), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
