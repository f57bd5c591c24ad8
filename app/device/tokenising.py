"""A model's own tokenizer and chat template, from a GGUF file or from a safetensors folder.

Knows nothing of tasks, of messages or of weights. A GGUF's vocabulary is read by llama.cpp, a folder's by the
`tokenizers` library, so that opening one takes a fraction of a second and no torch.
"""

import functools
import json
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from app.device.catalogue import LocalModel
from app.device.llama_library import library, open_model, token_bytes
from app.errors import ModelDamaged

_TURN_ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "<|end|>", "</s>")
"""Tokens that llama.cpp takes for the end of an answer wherever a vocabulary has them as special tokens."""


class Tokeniser(Protocol):
    """Text to token ids and back, as one model does it."""

    @property
    def chat_template(self) -> str:
        """The model's Jinja template; empty for a model without one."""

    @property
    def bos_text(self) -> str:
        """The begin-of-text token as text, for templates that write it; empty where there is none."""

    @property
    def eos_text(self) -> str:
        """The end-of-text token as text, for templates that write it; empty where there is none."""

    @property
    def eos_id(self) -> int:
        """The end-of-text token."""

    @property
    def end_ids(self) -> frozenset[int]:
        """Every token that ends an answer."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; nothing is put before or after. `special`: "<|im_end|>" becomes that token, else plain text."""

    def decode(self, ids: Sequence[int], *, special: bool = True) -> str:
        """Text; bytes that are no UTF-8 become the replacement character. `special`: special tokens are written out."""


class GgufTokeniser:
    """The vocabulary of a GGUF file, read by llama.cpp without the weights."""

    def __init__(self, path: Path) -> None:
        self._llama = library()
        self._model = open_model(path, vocabulary_only=True)
        self._vocabulary = self._llama.llama_model_get_vocab(self._model)
        self.eos_id = int(self._llama.llama_vocab_eos(self._vocabulary))
        weakref.finalize(self, self._llama.llama_model_free, self._model)

    @functools.cached_property
    def chat_template(self) -> str:
        """The template in the file's metadata."""
        template = self._llama.llama_model_chat_template(self._model, None)
        return template.decode() if template else ""

    @functools.cached_property
    def bos_text(self) -> str:
        """The begin-of-text token as text."""
        bos = int(self._llama.llama_vocab_bos(self._vocabulary))
        return self.decode([bos]) if bos >= 0 else ""

    @functools.cached_property
    def eos_text(self) -> str:
        """The end-of-text token as text."""
        return self.decode([self.eos_id]) if self.eos_id >= 0 else ""

    @functools.cached_property
    def end_ids(self) -> frozenset[int]:
        """What llama.cpp calls end-of-generation tokens."""
        count = self._llama.llama_vocab_n_tokens(self._vocabulary)
        return frozenset(token for token in range(count) if self._llama.llama_vocab_is_eog(self._vocabulary, token))

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; see Tokeniser."""
        data = text.encode("utf-8", "replace")
        # No token is shorter than a byte, but a SentencePiece vocabulary may put a space before the text.
        buffer = (self._llama.llama_token * (len(data) + 8))()
        count = self._llama.llama_tokenize(self._vocabulary, data, len(data), buffer, len(buffer), False, special)
        if count < 0:
            raise ValueError(f"llama.cpp needs {-count} tokens for {len(data)} bytes")
        return list(buffer[:count])

    def decode(self, ids: Sequence[int], *, special: bool = True) -> str:
        """Text; see Tokeniser."""
        # Not llama_detokenize: it takes the spaces before punctuation away, and " ." would come back as ".".
        return b"".join(token_bytes(self._vocabulary, token, special) for token in ids).decode("utf-8", "replace")


def _read_json(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file of a model folder; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ModelDamaged(f"{path} should be JSON but cannot be read; copy the model folder again.") from error
    if not isinstance(content, dict):
        raise ModelDamaged(f"{path} should hold a JSON object but holds something else; copy the model folder again.")
    return content


def _token_text(value: Any) -> str:
    """A token as tokenizer_config.json writes it: text, an object with its text, or null."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _as_ids(value: Any) -> Iterable[int]:
    """Token ids as config files write them: one, several, or null."""
    if isinstance(value, int):
        return (value,)
    return tuple(item for item in value if isinstance(item, int)) if isinstance(value, list) else ()


def _folder_template(folder: Path, config: Mapping[str, Any]) -> str:
    """A folder's chat template: in a file of its own, or in tokenizer_config.json, alone or by name."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text("utf-8")
    template = config.get("chat_template", "")
    if isinstance(template, list):
        template = {item["name"]: item["template"] for item in template}.get("default", "")
    return template if isinstance(template, str) else ""


class FolderTokeniser:
    """The tokenizer.json of a safetensors folder."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        config = _read_json(folder / "tokenizer_config.json")
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # The library raises a bare Exception for a file that it cannot read.
        except Exception as error:
            raise ModelDamaged(
                f"{folder / 'tokenizer.json'} should be a tokenizer but cannot be read; copy the model folder again."
            ) from error
        self._lock = threading.Lock()
        self.chat_template = _folder_template(folder, config)
        self.bos_text = _token_text(config.get("bos_token"))
        self.eos_text = _token_text(config.get("eos_token"))
        self.end_ids = self._find_end_ids(folder)
        self.eos_id = self._find_eos_id(folder)

    def _find_end_ids(self, folder: Path) -> frozenset[int]:
        stated = [
            token
            for name in ("generation_config.json", "config.json")
            for token in _as_ids(_read_json(folder / name).get("eos_token_id"))
        ]
        added = self._tokenizer.get_added_tokens_decoder()
        known = [token for token, entry in added.items() if entry.special and entry.content in _TURN_ENDS]
        eos = self._tokenizer.token_to_id(self.eos_text) if self.eos_text else None
        return frozenset([*stated, *known, *([] if eos is None else [eos])])

    def _find_eos_id(self, folder: Path) -> int:
        eos = self._tokenizer.token_to_id(self.eos_text) if self.eos_text else None
        if eos is not None:
            return int(eos)
        if self.end_ids:
            return min(self.end_ids)
        raise ModelDamaged(
            f"The model folder {folder} names no end-of-text token; its tokenizer_config.json needs an eos_token."
        )

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; see Tokeniser."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        with self._lock:
            self._tokenizer.encode_special_tokens = not special
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, special: bool = True) -> str:
        """Text; see Tokeniser."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not special))


def open_tokeniser(model: LocalModel) -> Tokeniser:
    """The tokenizer of a model; raises ModelDamaged."""
    if model.kind == "gguf":
        return GgufTokeniser(model.path)
    return FolderTokeniser(model.path)
