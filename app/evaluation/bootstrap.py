"""How sure a score is: users are drawn again with replacement, the same users for every method.

Paired bootstrap over users (Efron and Tibshirani 1993; Koehn 2004): a user's questions are drawn together, because
they share a history. Pure arithmetic: knows no metric's meaning and no method.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

DRAWS = 2000
LEVEL = 0.95

Finish = Callable[[Any, Any], Any]
"""Sums of users' statistics, [..., statistics], to scores, [...]; then the sum of all users they are drawn from."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A score with its interval."""

    value: float
    low: float
    high: float
    """Ends of the percentile interval at LEVEL."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much one method is above another on the same users."""

    value: float
    low: float
    high: float
    above: float
    """Share of the draws in which it is above 0; a draw without a difference counts as a half."""


def draw_counts(users: int, seed: int, draws: int = DRAWS) -> Any:
    """How often each user is in each draw: an array [draws, users] of float64 whose rows add up to `users`."""
    import numpy as np

    generator = np.random.default_rng(seed)
    return generator.multinomial(users, [1 / users] * users, size=draws).astype(np.float64)


def _interval(values: Any) -> tuple[float, float]:
    import numpy as np

    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _score(sums: Any, finish: Finish) -> float:
    """The score of all users; `sums` is [users, statistics]."""
    whole = sums.sum(axis=0)
    return float(finish(whole, whole))


def _drawn(sums: Any, finish: Finish, seed: int, draws: int) -> Any:
    """The score in every draw; `sums` is [users, statistics]."""
    return finish(draw_counts(len(sums), seed, draws) @ sums, sums.sum(axis=0))


def estimate(sums: Any, finish: Finish, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """A score and its interval from each user's summed statistics, [users, statistics]."""
    return Estimate(_score(sums, finish), *_interval(_drawn(sums, finish, seed, draws)))


def compare(sums: Any, other: Any, finish: Finish, seed: int = 0, draws: int = DRAWS) -> Difference:
    """The first method's score less the other's; row u of both is the same user."""
    import numpy as np

    if sums.shape != other.shape:
        raise ValueError(f"a paired comparison needs the same users on both sides, got {sums.shape} and {other.shape}")
    drawn = _drawn(sums, finish, seed, draws) - _drawn(other, finish, seed, draws)
    value = _score(sums, finish) - _score(other, finish)
    return Difference(value, *_interval(drawn), above=float(np.mean((np.sign(drawn) + 1) / 2)))


def by_user(rows: Mapping[str, Any]) -> tuple[tuple[str, ...], Any]:
    """Users in order and their summed rows, [users, statistics], from each user's rows, [answers, statistics]."""
    import numpy as np

    users = tuple(sorted(rows))
    return users, np.stack([rows[user].sum(axis=0) for user in users])
