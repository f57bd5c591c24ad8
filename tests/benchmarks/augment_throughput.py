"""Generated tokens a second of POST /v1/augment, beside a plain loop over create_chat_completion; nothing is asserted.

python -m tests.benchmarks.augment_throughput [--model FILE] [--records 24] [--k 5]

Same model, same prompt (the source's), same k, same temperature, same threads; the loop's answers are held to the mean
length of the service's. The service scores its pairs as well, the loop does not. Records are the sample history's.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import llama_cpp
import requests

from cloud_stub.models import embedded_model
from cloud_stub.prompts import build_prompt
from cloud_stub.schemas import AugmentRequest, SharedRecord

SAMPLE = Path("assets/sample/history.csv")
TOKEN = "benchmark"


def _request(records: int, k: int) -> AugmentRequest:
    with SAMPLE.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))[:records]
    texts = [sorted(row.values(), key=len) for row in rows]
    shared = tuple(
        SharedRecord(reference=f"{number:016x}", input=row[-1], output=row[-2]) for number, row in enumerate(texts)
    )
    return AugmentRequest(records=shared, k=k, prompt="paper")


def _service(model: Path, request: AugmentRequest) -> tuple[int, int, float]:
    """Samples, generated tokens and seconds of the second of two requests; the first one warms up."""
    command = [sys.executable, "-m", "cloud_stub", "--port", "0", "--model", str(model)]
    environment = os.environ | {"CDCDA_CLOUD_TOKEN": TOKEN}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        warm = request.model_copy(update={"records": request.records[:1], "k": 1, "seed": 1})
        for body in (warm, request):
            started = time.perf_counter()
            answer = requests.post(f"{url}/v1/augment", data=body.model_dump_json(), headers=headers, timeout=3600)
            seconds = time.perf_counter() - started
        process.terminate()
    summary = json.loads(answer.text.splitlines()[-1])
    return summary["pairs"] + summary["failures"], summary["generated_tokens"], seconds


def _loop(model: Path, request: AugmentRequest, max_tokens: int) -> tuple[int, float]:
    """Generated tokens and seconds."""
    threads = len(os.sched_getaffinity(0))
    llama = llama_cpp.Llama(str(model), n_ctx=8192, n_threads=threads, n_threads_batch=threads, verbose=False)
    llama.create_chat_completion([{"role": "user", "content": "Hello"}], max_tokens=1)
    started, tokens = time.perf_counter(), 0
    for record in request.records:
        text = build_prompt("paper", request, record).text
        for seed in range(request.k):
            answer = llama.create_chat_completion(
                [{"role": "user", "content": text}], temperature=0.7, seed=seed, max_tokens=max_tokens
            )
            tokens += answer["usage"]["completion_tokens"]
    return tokens, time.perf_counter() - started


def main() -> None:
    """Print both figures and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=embedded_model().path, metavar="FILE")
    parser.add_argument("--records", type=int, default=24)
    parser.add_argument("--k", type=int, default=5)
    options = parser.parse_args()
    request = _request(options.records, options.k)
    samples, tokens, seconds = _service(options.model, request)
    print(
        f"service: {samples} samples, {tokens} tokens in {seconds:.1f} s, {tokens / seconds:.1f} tokens/s", flush=True
    )
    theirs, their_seconds = _loop(options.model, request, max(1, round(tokens / samples)))
    print(f"loop: {theirs} tokens in {their_seconds:.1f} s, {theirs / their_seconds:.1f} tokens/s")
    print(f"ratio {tokens / seconds / (theirs / their_seconds):.2f}")


if __name__ == "__main__":
    main()
