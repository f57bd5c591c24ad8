"""The loss of examples: cross-entropy of their completion tokens.

The head, whose logits are most of the memory of a small model with a large vocabulary, sees the positions of those
tokens alone. Knows token ids, neither texts nor training.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from app.device import batching, layers
from app.device.precision import Precision, best_precision, computing
from app.device.rendering import Example

Loss = Callable[[Any, Sequence[Example], str], Any]
"""Network, examples and device to the loss summed over the completion tokens, a scalar tensor."""


@dataclasses.dataclass(frozen=True)
class _Batch:
    """A micro-batch as tensors, the examples end to end."""

    input_ids: Any
    """[tokens]."""
    lengths: list[int]
    """Of each example."""
    positions: Any
    """[completion tokens], places that predict one."""
    targets: Any
    """[completion tokens]."""


def _collate(examples: Sequence[Example], device: str) -> _Batch:
    import torch

    ids: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    for example in examples:
        first = len(ids) + len(example.prompt_ids) - 1
        positions += range(first, first + len(example.completion_ids))
        ids += [*example.prompt_ids, *example.completion_ids][:-1]
        targets += example.completion_ids
    tensors = [torch.tensor(values, device=device) for values in (ids, positions, targets)]
    return _Batch(tensors[0], [batching.length(example) for example in examples], *tensors[1:])


def completion_logits(network: Any, examples: Sequence[Example], device: str) -> tuple[Any, Any]:
    """Logits in float32, [completion tokens, vocabulary], and the tokens that they should predict, example by example.

    `network` is a causal language model of transformers, llama or qwen2, whose logits are its output layer applied to
    its last hidden states; adapters may be set in it, and gradients reach them alone.
    """
    import torch

    batch = _collate(examples, device)
    hidden = layers.hidden_states(network, batch.input_ids, batch.lengths, batch.positions)
    head = network.get_output_embeddings()
    # As the hidden states are, not as autocast would: a head in bfloat16 is one more weight where float32 is computed.
    bias = None if head.bias is None else head.bias.to(hidden.dtype)
    return torch.nn.functional.linear(hidden, head.weight.to(hidden.dtype), bias).float(), batch.targets


def completion_loss(network: Any, examples: Sequence[Example], device: str) -> Any:
    """Summed cross-entropy of the completion tokens, a scalar tensor in float32; see `completion_logits`."""
    import torch

    logits, targets = completion_logits(network, examples, device)
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")


def count_completion(examples: Sequence[Example]) -> int:
    """Tokens that the loss is taken on."""
    return sum(len(example.completion_ids) for example in examples)


def held_out_loss(
    network: Any,
    examples: Sequence[Example],
    device: str,
    micro_tokens: int = 1024,
    precision: Precision | None = None,
) -> float | None:
    """Mean cross-entropy per completion token in nats, None without examples; in the best precision there if None."""
    import torch

    if not examples:
        return None
    # Not network.eval(): bitsandbytes would repack NF4 weights into a form that cannot be trained; there is no dropout.
    with torch.no_grad(), computing(device, precision or best_precision(device)):
        groups = batching.micro_batches(examples, micro_tokens)
        total = sum(completion_loss(network, group, device).item() for group in groups)
    return float(total / count_completion(examples))
