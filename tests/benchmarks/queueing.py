"""How long people wait, and how many are told to come back: a simulation of the service's queue; nothing is asserted.

python -m tests.benchmarks.queueing [--users 1000000] [--records-per-second 15] [--replicas 2 3 4 6]

Requests arrive at random (Poisson) at the busiest hour's rate; a request's size varies as people's shared records do
(log-normal). Each replica has places for those in progress and those that wait, as `cdcda-cloud --upstream` has; the
records of all who are in are done in turn, at the replica's rate. Who finds no place comes back after Retry-After, as
many times as it takes. A balancer hands out replicas in turn, and a refused client takes the next one.
"""

import argparse
import dataclasses
import itertools
import math
import random
import statistics
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import simpy

PLACES = 72
"""8 samples at the same time and 64 requests that wait: what `cdcda-cloud --upstream` has where nothing is said."""
RETRY_AFTER = 10.0
"""Seconds, its answer to those without a place."""


@dataclasses.dataclass(frozen=True)
class Load:
    """What comes in the busiest hour."""

    requests_per_second: float
    records: float
    """Median of a request."""
    spread: float
    """Sigma of the logarithm of a request's records."""


@dataclasses.dataclass
class Seen:
    """What became of the requests."""

    waits: list[float] = dataclasses.field(default_factory=list)
    """Seconds from the first try to the first finished record."""
    totals: list[float] = dataclasses.field(default_factory=list)
    """Seconds from the first try to the last record."""
    refusals: int = 0
    arrived: int = 0


class Replica:
    """Shares its rate among the requests that are in, a record of each in turn."""

    def __init__(self, world: Any, seconds_per_record: float) -> None:
        self._turns = simpy.Resource(world, 1)
        self._world = world
        self._seconds = seconds_per_record
        self.present = 0

    def serve(self, records: int) -> Generator[Any, None, float | None]:
        """Do the records; the value of the process is when the first one was finished."""
        first: float | None = None
        for _ in range(records):
            # Whoever asks for the next turn queues behind all others that are in.
            with self._turns.request() as turn:
                yield turn
                yield self._world.timeout(self._seconds)
            first = first if first is not None else self._world.now
        return first


def _request(world: Any, replicas: Sequence[Replica], turn: Iterator[int], records: int, seen: Seen) -> Iterator[Any]:
    started = world.now
    while True:
        replica = replicas[next(turn) % len(replicas)]
        if replica.present < PLACES:
            break
        seen.refusals += 1
        yield world.timeout(RETRY_AFTER)
    replica.present += 1
    first = yield world.process(replica.serve(records))
    replica.present -= 1
    seen.waits.append(first - started)
    seen.totals.append(world.now - started)


def _arrivals(world: Any, load: Load, replicas: Sequence[Replica], draw: random.Random, seen: Seen) -> Iterator[Any]:
    turn = itertools.count()
    while True:
        yield world.timeout(draw.expovariate(load.requests_per_second))
        records = max(1, round(draw.lognormvariate(math.log(load.records), load.spread)))
        seen.arrived += 1
        world.process(_request(world, replicas, turn, records, seen))


def simulate(load: Load, count: int, records_per_second: float, seconds: float, seed: int) -> Seen:
    """Run so many replicas for so long."""
    world, seen = simpy.Environment(), Seen()
    replicas = [Replica(world, 1 / records_per_second) for _ in range(count)]
    world.process(_arrivals(world, load, replicas, random.Random(seed), seen))
    world.run(until=seconds)
    return seen


def _cuts(seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return " / ".join(f"{cuts[place]:.1f}" for place in (49, 94, 98)) + " s"


def main() -> None:
    """Print a row for each number of replicas."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--requests-a-month", type=float, default=2.0, help="of one user (%(default)s)")
    parser.add_argument("--peak", type=float, default=3.0, help="busiest hour over the mean hour (%(default)s)")
    parser.add_argument("--records", type=float, default=20.0, help="median of a request (%(default)s)")
    parser.add_argument("--spread", type=float, default=0.8, help="sigma of its logarithm (%(default)s)")
    parser.add_argument("--records-per-second", type=float, default=15.0, help="of one replica (%(default)s)")
    parser.add_argument("--replicas", type=int, nargs="+", default=[3, 4, 5, 6, 8])
    parser.add_argument("--seconds", type=float, default=3600.0)
    options = parser.parse_args()
    rate = options.users * options.requests_a_month / (30 * 86_400) * options.peak
    load = Load(rate, options.records, options.spread)
    offered = rate * options.records * math.exp(options.spread**2 / 2)
    print(f"{rate:.2f} requests a second, {offered:.0f} records a second in the busiest hour")
    print("seconds that 50, 95 and 99 of a hundred wait at most:")
    for count in options.replicas:
        seen = simulate(load, count, options.records_per_second, options.seconds, 1)
        busy = offered / (count * options.records_per_second)
        print(
            f"{count:3} replicas, {busy:4.0%} busy: first record {_cuts(seen.waits)}, all {_cuts(seen.totals)}; served"
            f" {len(seen.totals) / seen.arrived:.0%}, told to come back {seen.refusals / seen.arrived:.2f} times each"
        )


if __name__ == "__main__":
    main()
