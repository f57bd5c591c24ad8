"""How much the service takes on: sizes, rates, times. Knows no network."""

import dataclasses
import math
import time
from collections.abc import Callable

FORGET_AFTER = 1000
"""Clients that are remembered before those at rest are forgotten."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What whoever runs the service allows."""

    waiting: int = 4
    """Requests that may be there beside those in progress; the rest are told to come back."""
    retry_seconds: int = 30
    """When those that found no place are told to come back."""
    requests_per_minute: int = 600
    """Of one address; 0: as many as come."""
    records_per_minute: int = 60_000
    """The same, for records; 0: as many as come."""
    record_seconds: float = 600.0
    """What a record's samples may take; those that are unfinished then fail."""
    request_seconds: float = 86_400.0
    """What a request may take; its stream then ends, and its client can resume."""


class Rate:
    """So many units a minute for each client, saved up for at most a minute (a token bucket)."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}
        """By client: units that were left, and when."""

    def _level(self, client: str, now: float) -> float:
        left, then = self._left.get(client, (self._most, now))
        return min(self._most, left + (now - then) * self._most / 60.0)

    def take(self, client: str, units: int = 1) -> int:
        """Take the units; 0, or else seconds to wait because they are not there.

        More than a minute's worth is given to who has a whole minute's worth, who then waits the longer.
        """
        if not self._most:
            return 0
        now = self._clock()
        level, needed = self._level(client, now), min(float(units), self._most)
        if level < needed:
            return math.ceil((needed - level) * 60.0 / self._most)
        self._left[client] = (level - units, now)
        self._forget(now)
        return 0

    def _forget(self, now: float) -> None:
        if len(self._left) > FORGET_AFTER:
            self._left = {one: kept for one, kept in self._left.items() if self._level(one, now) < self._most}
