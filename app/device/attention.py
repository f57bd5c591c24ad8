"""Causal attention over several sequences that lie end to end, with its backward pass. Knows no layer and no weights.

torch's own kernel for a CPU takes about twice as long on sequences of a few hundred tokens, and wants them padded. Only
the lower triangle is computed, a block of queries at a time; probabilities are made anew in the backward pass, so that
nothing that grows with the square of the length is kept.
"""

from collections.abc import Iterator, Sequence
from typing import Any

_BLOCK = 128
"""Queries that look back at once."""


def _blocks(lengths: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """The places of each block of queries and of the keys that they see, in sequences end to end."""
    start = 0
    for length in lengths:
        for first in range(0, length, _BLOCK):
            last = min(first + _BLOCK, length)
            yield slice(start + first, start + last), slice(start, start + last)
        start += length


def _stacked(queries: Any, groups: int) -> Any:
    """[tokens, heads, size] as [groups, heads of a group * tokens, size], beside the keys that they share."""
    tokens, heads, size = queries.shape
    grouped = queries.view(tokens, groups, heads // groups, size)
    return grouped.permute(1, 2, 0, 3).reshape(groups, -1, size)


def _unstacked(stacked: Any, tokens: int) -> Any:
    """The inverse of `_stacked`."""
    groups, _, size = stacked.shape
    return stacked.view(groups, -1, tokens, size).permute(2, 0, 1, 3).reshape(tokens, -1, size)


def _probabilities(queries: Any, keys: Any, tokens: int) -> Any:
    """Softmax of the scores in at least float32, [groups, heads of a group * tokens, keys].

    `queries` are stacked and scaled, `keys` are [groups, keys, size] and end with the tokens that ask.
    """
    import torch

    wide = torch.promote_types(queries.dtype, torch.float32)
    scores = torch.bmm(queries.to(wide), keys.to(wide).transpose(1, 2))
    future = torch.ones(tokens, tokens, dtype=torch.bool, device=scores.device).triu_(1)
    scores.view(keys.shape[0], -1, tokens, keys.shape[1])[..., -tokens:].masked_fill_(future, -torch.inf)
    return torch.softmax(scores, -1)


def attend(queries: Any, keys: Any, values: Any, lengths: Sequence[int]) -> Any:
    """What each token gathers, [tokens, heads, size].

    `queries` [tokens, heads, size]; `keys` and `values` [tokens, groups, size], each group serving heads / groups
    heads; `lengths` are those of the sequences, whose sum is tokens.
    """
    import torch

    groups, scale = keys.shape[1], queries.shape[-1] ** -0.5
    gathered = torch.empty_like(queries)
    for asking, seen in _blocks(lengths):
        tokens = asking.stop - asking.start
        stacked = _stacked(queries[asking] * scale, groups)
        weights = _probabilities(stacked, keys[seen].transpose(0, 1), tokens).to(values.dtype)
        gathered[asking] = _unstacked(torch.bmm(weights, values[seen].transpose(0, 1)), tokens)
    return gathered


def attend_backward(
    gradient: Any, queries: Any, keys: Any, values: Any, gathered: Any, lengths: Sequence[int]
) -> tuple[Any, Any, Any]:
    """The gradients of queries, keys and values; `gathered` is what `attend` gave, the rest is as there."""
    import torch

    groups, scale = keys.shape[1], queries.shape[-1] ** -0.5
    of_queries, of_keys, of_values = torch.empty_like(queries), torch.zeros_like(keys), torch.zeros_like(values)
    for asking, seen in _blocks(lengths):
        tokens = asking.stop - asking.start
        stacked = _stacked(queries[asking] * scale, groups)
        own_keys, own_values = keys[seen].transpose(0, 1), values[seen].transpose(0, 1)
        weights = _probabilities(stacked, own_keys, tokens)
        given = _stacked(gradient[asking], groups)
        of_values[seen] += torch.bmm(weights.to(given.dtype).transpose(1, 2), given).transpose(0, 1)
        # Softmax: p * (dp - sum(p * dp)), where the sum is that of gradient * output (Dao et al. 2022, appendix B).
        drift = (gradient[asking] * gathered[asking]).sum(-1, keepdim=True, dtype=weights.dtype)
        wanted = torch.bmm(given, own_values.transpose(1, 2)) - _stacked(drift, groups)
        of_scores = weights.mul_(wanted).to(queries.dtype)
        of_queries[asking] = _unstacked(torch.bmm(of_scores, own_keys), tokens) * scale
        of_keys[seen] += torch.bmm(of_scores.transpose(1, 2), stacked).transpose(0, 1)
    return of_queries, of_keys, of_values
