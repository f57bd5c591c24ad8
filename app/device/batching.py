"""Which examples make up which training step. Pure arithmetic on lengths: knows no model and no torch."""

import random
from collections.abc import Iterator, Sequence

from app.device.rendering import Example

_POOL = 8
"""Batches' worth of examples that are sorted by length together: enough to be even, few enough to stay random."""


def length(example: Example) -> int:
    """Tokens that the network reads of an example; the last one is only ever predicted."""
    return len(example.prompt_ids) + len(example.completion_ids) - 1


def count_tokens(batches: Sequence[Sequence[Example]]) -> int:
    """Tokens that the network reads of these batches, padding not counted."""
    return sum(length(example) for batch in batches for example in batch)


def plan_epoch(examples: Sequence[Example], batch: int, seed: int, epoch: int) -> list[list[Example]]:
    """The batches of an epoch, each of examples of like length, in an order that seed and epoch decide."""
    generator = random.Random(f"{seed} {epoch}")
    shuffled = generator.sample(list(examples), len(examples))
    batches = []
    for start in range(0, len(shuffled), batch * _POOL):
        pool = sorted(shuffled[start : start + batch * _POOL], key=length)
        batches += [pool[first : first + batch] for first in range(0, len(pool), batch)]
    generator.shuffle(batches)
    return batches


def micro_batches(examples: Sequence[Example], limit: int) -> Iterator[list[Example]]:
    """Examples in groups of at most `limit` tokens, padding counted; a longer example goes alone."""
    group: list[Example] = []
    for example in sorted(examples, key=length):
        # Sorted upwards, so the newcomer is the longest and sets the padded length of its group.
        if group and length(example) * (len(group) + 1) > limit:
            yield group
            group = []
        group.append(example)
    if group:
        yield group
