"""Answers a second of POST /v1/augment in front of an upstream server, beside that server alone; nothing is asserted.

python -m tests.benchmarks.upstream_throughput [--concurrency 16] [--records 64] [--k 5] [--clients 4]
                                               [--first-token-seconds 0.2] [--seconds-per-token 0.02]

The upstream is the stand-in of the tests, a process of its own with as many slots as the concurrency. It is asked for
the same prompts twice: by a plain loop that sends bytes over kept connections and reads the answers, as fast as it
will have them, and by the service, which also parses and scores with the real NLI model. Each has a run to warm up.
"""

import argparse
import concurrent.futures
import contextlib
import csv
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from cloud_stub.prompts import build_prompt
from cloud_stub.schemas import AugmentRequest, SharedRecord

SAMPLE = Path("assets/sample/history.csv")
TOKEN = "benchmark"


@contextlib.contextmanager
def _process(*command: object, **environment: str) -> Iterator[str]:
    """A process of this Python; the last word of its first line."""
    with subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def _requests(options: argparse.Namespace) -> list[AugmentRequest]:
    """The records of the sample history, spread over so many clients."""
    with SAMPLE.open(encoding="utf-8") as lines:
        rows = [sorted(row.values(), key=len) for row in csv.DictReader(lines)]
    records = [
        SharedRecord(
            reference=f"{number:016x}", input=rows[number % len(rows)][-1], output=rows[number % len(rows)][-2]
        )
        for number in range(options.records)
    ]
    shares = [tuple(records[start :: options.clients]) for start in range(options.clients)]
    return [AugmentRequest(records=share, k=options.k, prompt="paper") for share in shares]


def _alone(url: str, asked: list[AugmentRequest], concurrency: int) -> float:
    """Seconds for all the samples, asked of the upstream server itself."""
    kept = threading.local()

    def ask(body: dict[str, Any]) -> None:
        if not hasattr(kept, "session"):
            kept.session = requests.Session()
        kept.session.post(f"{url}/chat/completions", json=body, timeout=600).raise_for_status()

    bodies = [
        {"model": "stand-in", "seed": seed, "messages": [{"role": "user", "content": prompt.text}]}
        for request in asked
        for record in request.records
        for prompt in [build_prompt("paper", request, record)]
        for seed in range(request.k)
    ]
    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(ask, bodies))
    return time.perf_counter() - started


def _through(url: str, asked: list[AugmentRequest]) -> tuple[int, float]:
    """Pairs and seconds for all the requests, sent to the service at the same time."""

    def ask(request: AugmentRequest) -> int:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.post(f"{url}/v1/augment", data=request.model_dump_json(), headers=headers, timeout=3600)
        return int(json.loads(answer.text.splitlines()[-1])["pairs"])

    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        pairs = sum(pool.map(ask, asked))
    return pairs, time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("concurrency", 16), ("records", 64), ("k", 5), ("clients", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--first-token-seconds", type=float, default=0.2)
    parser.add_argument("--seconds-per-token", type=float, default=0.02)
    options = parser.parse_args()
    asked = _requests(options)
    delays = ["--first-token-seconds", options.first_token_seconds, "--seconds-per-token", options.seconds_per_token]
    slots = options.concurrency
    with (
        _process("tests.cloud_stub.stand_in", "--slots", slots, *delays) as upstream,
        _process(
            "cloud_stub", "--port", 0, "--upstream", upstream, "--model", "stand-in", "--concurrency", slots,
            CDCDA_CLOUD_TOKEN=TOKEN,
        ) as service,
    ):  # fmt: skip
        warm = [asked[0].model_copy(update={"records": asked[0].records[:4], "k": 1})]
        _alone(upstream, warm, slots)
        _through(service, warm)
        samples = options.records * options.k
        alone = _alone(upstream, asked, slots)
        pairs, through = _through(service, asked)
    print(f"upstream alone {samples / alone:.1f} answers/s, {samples} in {alone:.1f} s, {slots} at once")
    print(f"through the service {pairs / through:.1f} scored pairs/s, {pairs} in {through:.1f} s")
    print(f"ratio {pairs / through / (samples / alone):.3f}")


if __name__ == "__main__":
    main()
