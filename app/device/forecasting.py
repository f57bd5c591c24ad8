"""How much memory a training will take at its peak, before it is started, and whether that is there.

The peak is a sum of named parts, computed from the network's sizes, the settings and the largest micro-batch. What no
arithmetic gives (the libraries, what a layer needs while it computes) was measured; `tests/benchmarks/forecast.py`
holds the sum against real trainings. Knows token counts, no texts and no torch.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from app.device import batching
from app.device.precision import Precision, best_precision
from app.device.rendering import Example
from app.device.shapes import Shape
from app.device.training import FineTuning

Fit = Literal["fits", "tight", "does not fit"]

MARGIN = 1.2
"""How much more than the estimate must be free to say that it fits: measured peaks lie within a fifth of it."""
LEAST_AT_ONCE = 64
"""Tokens at once below which nothing more is gained: an example goes through the network whole."""

_MB = 1e6
_RUNTIME = 715 * _MB
"""Bytes of Python, torch, transformers, PEFT and bitsandbytes once they are imported and have computed."""
_UNPACKING = 2.1
"""Times the unpacked model: it and the tensors that are being unpacked lie side by side."""
_PACKING = 0.9
"""Part of the linear layers that lies in bfloat16 beside the packed ones at the most, while they are loaded."""
_NF4 = 4.5 / 8
"""Bytes a weight: four bits, and a float32 scale for each block of 64."""
_BFLOAT16 = 2
_FLOAT32 = 4
_TRAINED = 5 * _FLOAT32
"""Bytes for each weight of the adapter: itself, its gradient, AdamW's two means, the copy of the best epoch."""
_LOGITS = 3 * _FLOAT32
"""Bytes for each logit: the logits or their gradient, their log-softmax, and the gradient of that."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One thing that takes memory."""

    name: str
    megabytes: float
    reason: str
    """What it is made of, in a sentence."""


@dataclasses.dataclass(frozen=True)
class Memory:
    """What a training takes at its peak; every part in MB."""

    runtime: Part
    weights: Part
    adapter: Part
    activations: Part
    head: Part
    loading: Part
    """What is left of loading the weights, or what unpacking them takes beyond all that training takes later."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of them, in the order in which a training comes to need them."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @property
    def peak_mb(self) -> float:
        """Their sum."""
        return sum(part.megabytes for part in self.parts)


@dataclasses.dataclass(frozen=True)
class Group:
    """What goes through the network at once."""

    tokens: int
    completion: int
    """Tokens that the head computes logits for."""


def _part(name: str, bytes: float, reason: str) -> Part:
    return Part(name, bytes / _MB, reason)


def _group(examples: Sequence[Example]) -> Group:
    return Group(
        sum(map(batching.length, examples)),
        sum(len(example.completion_ids) for example in examples),
    )


def groups_of(examples: Sequence[Example], settings: FineTuning) -> set[Group]:
    """The micro-batches of all epochs of a training on these examples."""
    batches = (
        batch
        for epoch in range(1, settings.epochs + 1)
        for batch in batching.plan_epoch(examples, settings.batch, settings.seed, epoch)
    )
    return {_group(group) for batch in batches for group in batching.micro_batches(batch, settings.micro_tokens)}


def _bytes(precision: Precision) -> int:
    """Of a number that is computed with."""
    return _BFLOAT16 if precision == "bfloat16" else _FLOAT32


def _kept(shape: Shape, rank: int, precision: Precision) -> int:
    """Bytes that a token leaves behind in each layer for the backward pass (`layers.LayerFunction`)."""
    # x, what follows attention; q, what it gathers; k, v; gate, up; x A^T of the seven adapters.
    values = 2 * (shape.hidden + shape.queries + shape.keys + shape.feed_forward) + 7 * rank
    return _bytes(precision) * values + 2 * _FLOAT32


def _activations(shape: Shape, rank: int, tokens: int, precision: Precision) -> float:
    return tokens * shape.layers * _kept(shape, rank, precision) + _working(shape, tokens, precision)


def _working(shape: Shape, tokens: int, precision: Precision) -> float:
    """Bytes that one layer needs while it computes backwards."""
    gradients = tokens * _bytes(precision) * (6 * shape.feed_forward + 8 * shape.hidden)
    unpacked = shape.hidden * shape.feed_forward * (_FLOAT32 + _BFLOAT16)
    return gradients + unpacked


def _logits(shape: Shape, group: Group, precision: Precision) -> float:
    """Bytes of the logits, and of the head where it is made wider for them."""
    wider = 0 if precision == "bfloat16" else shape.vocabulary * shape.hidden * _FLOAT32
    return float(group.completion * shape.vocabulary * _LOGITS + wider)


def _largest(shape: Shape, rank: int, groups: Iterable[Group], precision: Precision) -> Group:
    """The one that takes most."""
    return max(
        groups,
        key=lambda group: _activations(shape, rank, group.tokens, precision) + _logits(shape, group, precision),
    )


def _scoring(shape: Shape, settings: FineTuning, held_out: Sequence[Example], precision: Precision) -> float:
    """Bytes that scoring the held-out examples takes: no activations are kept for a backward pass."""
    groups = [_group(examples) for examples in batching.micro_batches(held_out, settings.micro_tokens)]
    return max(
        (_working(shape, group.tokens, precision) + _logits(shape, group, precision) for group in groups), default=0.0
    )


def _runtime(on_gpu: bool) -> Part:
    return _part(
        "Libraries", 0.0 if on_gpu else _RUNTIME, "Python, PyTorch and what it needs, before any model is there"
    )


def _weights(shape: Shape, settings: FineTuning, on_gpu: bool) -> Part:
    packed = settings.quantisation == "nf4"
    # On a CPU an embedding that is not the head too stays in its file, of which only the rows that occur are read.
    vocabulary = shape.embedding_weights if on_gpu else shape.vocabulary * shape.hidden
    return _part(
        "Weights",
        shape.linear_weights * (_NF4 if packed else _BFLOAT16) + vocabulary * _BFLOAT16,
        f"{shape.linear_weights / _MB:,.0f} million weights in {'four bits' if packed else 'bfloat16'}, and the"
        f" vocabulary's {vocabulary / _MB:,.0f} million in bfloat16",
    )


def _adapter(shape: Shape, rank: int) -> Part:
    weights = shape.adapter_weights(rank)
    return _part(
        "Adapter",
        weights * _TRAINED,
        f"{weights / _MB:.1f} million trained weights, each with its gradient, two means of it and a copy of the best",
    )


def _loading(shape: Shape, settings: FineTuning, device: str, unpack: bool, training: float) -> Part:
    """`training` is what all other parts take, in bytes, of which nothing is there yet but the libraries."""
    if device == "cuda":
        return _part("Loading", 0.0, "what is read passes through the computer's own memory")
    unpacked = (shape.linear_weights + shape.embedding_weights) * _BFLOAT16
    packed = settings.quantisation == "nf4"
    mapped = shape.linear_weights * _BFLOAT16 if packed else 0.0
    first = _RUNTIME + unpacked * _UNPACKING - training if unpack else 0.0
    packing = shape.linear_weights * (_NF4 + _PACKING * _BFLOAT16) if packed else 0.0
    reading = _RUNTIME + unpacked + packing - training
    if first > max(mapped, reading):
        return _part("Loading", first, "unpacking the model, which is done once, takes more than training it")
    if reading > mapped:
        return _part("Loading", reading, "reading and packing the weights takes more than training them")
    return _part("Loading", mapped, "pages of the file that the weights came from; the system takes them when it must")


def forecast(
    shape: Shape,
    settings: FineTuning,
    examples: Sequence[Example],
    held_out: Sequence[Example] = (),
    device: str = "cpu",
    unpack: bool = False,
    precision: Precision | None = None,
) -> Memory:
    """The peak of a training on these examples, scored on the held-out ones; for "cuda" that of the GPU's memory.

    `unpack`: the model has to be unpacked first. `precision` is what this computer computes in there if None. Raises
    ValueError without examples.
    """
    numbers = precision or best_precision(device)
    group = _largest(shape, settings.rank, groups_of(examples, settings), numbers)
    activations = _activations(shape, settings.rank, group.tokens, numbers)
    head = max(_logits(shape, group, numbers), _scoring(shape, settings, held_out, numbers) - activations)
    of_tokens, of_logits = f"{group.tokens:,} tokens at once", f"{group.completion:,} tokens"
    parts = (
        _runtime(device == "cuda"),
        _weights(shape, settings, device == "cuda"),
        _adapter(shape, settings.rank),
        _part("Activations", activations, f"what {shape.layers} layers keep of {of_tokens}, in {numbers}"),
        _part("Head", head, f"scores of all {shape.vocabulary:,} words of the vocabulary for {of_logits}"),
    )
    taken = sum(part.megabytes for part in parts) * _MB
    return Memory(*parts, _loading(shape, settings, device, unpack, taken))


def fit(peak_mb: float, free_mb: float) -> Fit:
    """Whether so much memory is there: tight where the estimate's own error decides."""
    if peak_mb > free_mb:
        return "does not fit"
    return "fits" if peak_mb * MARGIN <= free_mb else "tight"


def lower_micro_tokens(settings: FineTuning) -> Iterator[FineTuning]:
    """The same settings with ever fewer tokens at once, as a training halves them."""
    tokens = settings.micro_tokens // 2
    while tokens >= LEAST_AT_ONCE:
        yield dataclasses.replace(settings, micro_tokens=tokens)
        tokens //= 2
