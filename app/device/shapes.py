"""How large a model's network is, read from its header or its configuration alone: no weights, no torch."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from app.device import gguf_header
from app.device.catalogue import LocalModel
from app.device.weights import check_architecture
from app.errors import ModelDamaged

_GGUF_KEYS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
}
"""What transformers' configurations call a number, and GGUF files."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of a llama or qwen2 network."""

    layers: int
    hidden: int
    """Width of what goes from layer to layer."""
    feed_forward: int
    queries: int
    """Width of all attention heads together."""
    keys: int
    """Width of all key heads together; the values have as much."""
    heads: int
    vocabulary: int
    tied: bool
    """The head is the embedding's own matrix."""

    @property
    def linears(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of a layer's linear layers: q, k, v, o, gate, up, down."""
        into, out = (self.hidden, self.feed_forward), (self.feed_forward, self.hidden)
        key = (self.hidden, self.keys)
        return ((self.hidden, self.queries), key, key, (self.queries, self.hidden), into, into, out)

    @property
    def linear_weights(self) -> int:
        """Weights of all linear layers but the head."""
        return self.layers * sum(math.prod(linear) for linear in self.linears)

    @property
    def embedding_weights(self) -> int:
        """Weights of the embedding, and of the head where it has its own."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapter_weights(self, rank: int) -> int:
        """Weights of a LoRA in all linear layers but the head."""
        return self.layers * rank * sum(map(sum, self.linears))


def _shape(config: Mapping[str, Any], vocabulary: int, tied: bool) -> Shape:
    """Raises KeyError, TypeError and ZeroDivisionError for a configuration that lacks a number."""
    heads = int(config["num_attention_heads"])
    size = int(config.get("head_dim") or config["hidden_size"] // heads)
    return Shape(
        layers=int(config["num_hidden_layers"]),
        hidden=int(config["hidden_size"]),
        feed_forward=int(config["intermediate_size"]),
        queries=heads * size,
        keys=int(config.get("num_key_value_heads") or heads) * size,
        heads=heads,
        vocabulary=vocabulary,
        tied=tied,
    )


def _of_gguf(model: LocalModel) -> Shape:
    header = gguf_header.read_header(model.path)
    architecture = header.texts["general.architecture"]
    check_architecture(architecture)
    found = {name: header.numbers.get(f"{architecture}.{key}") for name, key in _GGUF_KEYS.items()}
    return _shape(found, header.tensors["token_embd.weight"][1], "output.weight" not in header.tensors)


def _of_folder(model: LocalModel) -> Shape:
    config = json.loads((model.path / "config.json").read_text("utf-8"))
    check_architecture(config["model_type"])
    return _shape(config, int(config["vocab_size"]), bool(config.get("tie_word_embeddings", False)))


def shape_of(model: LocalModel) -> Shape:
    """The sizes of a model's network; raises BadInput for an architecture that is not supported, and ModelDamaged."""
    try:
        return _of_gguf(model) if model.kind == "gguf" else _of_folder(model)
    except (OSError, ValueError, LookupError, TypeError, ZeroDivisionError) as error:
        raise ModelDamaged(
            f"{model.path} does not state how large its network is, so its training cannot be estimated; choose"
            " another model from `cdcda models list`."
        ) from error
