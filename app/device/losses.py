"""The loss of examples: cross-entropy of their completion tokens.

The head, whose logits are most of the memory of a small model with a large vocabulary, sees the positions of those
tokens alone. Knows token ids, neither texts nor training.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from app.device import batching
from app.device.rendering import Example

Loss = Callable[[Any, Sequence[Example], str], Any]
"""Network, examples and device to the loss summed over the completion tokens, a scalar tensor."""


@dataclasses.dataclass(frozen=True)
class _Batch:
    """A micro-batch as tensors."""

    input_ids: Any
    """[examples, longest], padded on the right: attention is causal, so no token sees the padding; there is no mask."""
    positions: Any
    """[completion tokens], places in the flattened [examples * longest] that predict one."""
    targets: Any
    """[completion tokens]"""


def _collate(examples: Sequence[Example], device: str) -> _Batch:
    import torch

    longest = max(batching.length(example) for example in examples)
    rows: list[list[int]] = []
    positions: list[int] = []
    targets: list[int] = []
    for number, example in enumerate(examples):
        ids = [*example.prompt_ids, *example.completion_ids][:-1]
        rows.append(ids + [0] * (longest - len(ids)))
        first = number * longest + len(example.prompt_ids) - 1
        positions += range(first, first + len(example.completion_ids))
        targets += example.completion_ids
    return _Batch(*(torch.tensor(values, device=device) for values in (rows, positions, targets)))


def completion_logits(network: Any, examples: Sequence[Example], device: str) -> tuple[Any, Any]:
    """Logits in float32, [completion tokens, vocabulary], and the tokens that they should predict, example by example.

    `network` is a causal language model of transformers whose logits are its output layer applied to its last hidden
    states; adapters may be set in it.
    """
    batch = _collate(examples, device)
    hidden = network.base_model(input_ids=batch.input_ids, use_cache=False).last_hidden_state
    chosen = hidden.flatten(0, 1).index_select(0, batch.positions)
    return network.get_output_embeddings()(chosen).float(), batch.targets


def completion_loss(network: Any, examples: Sequence[Example], device: str) -> Any:
    """Summed cross-entropy of the completion tokens, a scalar tensor in float32; see `completion_logits`."""
    import torch

    logits, targets = completion_logits(network, examples, device)
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")


def count_completion(examples: Sequence[Example]) -> int:
    """Tokens that the loss is taken on."""
    return sum(len(example.completion_ids) for example in examples)


def bfloat16(device: str) -> Any:
    """Computes in bfloat16 inside; the adapter's own weights stay float32, or small steps would be rounded away."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16)


def held_out_loss(network: Any, examples: Sequence[Example], device: str, micro_tokens: int = 1024) -> float | None:
    """Mean cross-entropy per completion token in nats; None without examples."""
    import torch

    if not examples:
        return None
    # Not network.eval(): bitsandbytes would repack NF4 weights into a form that cannot be trained; there is no dropout.
    with torch.no_grad(), bfloat16(device):
        groups = batching.micro_batches(examples, micro_tokens)
        total = sum(completion_loss(network, group, device).item() for group in groups)
    return float(total / count_completion(examples))
