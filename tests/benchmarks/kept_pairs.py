"""How many of the pairs that a form draws are kept, on other people's real records; nothing is asserted.

python -m tests.benchmarks.kept_pairs QUESTIONS.json --task LaMP_5 [--model FILE] [--form NAME] [--users 10] [--k 5]

One record of each of so many users of a LaMP questions file, with their other records beside it. Generation, scores and
verdicts are the service's and the app's own. `--out FILE` writes every pair as a JSON line, to be read.
"""

import argparse
import asyncio
import collections
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app import lamp
from app.pipeline.judging import Thresholds, judge
from app.pipeline.safety import added
from app.tasks import find_task
from cloud_stub.augmenting import Outcome, Parts, Work, augment_record
from cloud_stub.llama_model import LlamaModel
from cloud_stub.models import ModelFile, embedded_model
from cloud_stub.nli import EmbeddedNli
from cloud_stub.schemas import AugmentRequest, ModelDescription, PairLine, SharedRecord
from cloud_stub.schemas import Thresholds as Wanted
from personal_store.nouns import Scores

BESIDE = 6
"""Records of a user that are shared together."""


def _requests(options: argparse.Namespace) -> Iterator[tuple[AugmentRequest, SharedRecord]]:
    """A request of each user, and the record of it that is augmented."""
    draw = random.Random(options.seed)
    task = find_task(options.task)
    people = list(lamp.people(lamp.read_questions(options.questions)))
    for person in draw.sample(people, min(options.users, len(people))):
        pairs = [lamp.pair_of(task, item, neutral=True) for item in person.profile][:BESIDE]
        records = tuple(
            SharedRecord(reference=f"{number:016x}", input=pair.input, output=pair.output)
            for number, pair in enumerate(pairs)
        )
        wanted = Wanted(**vars(Thresholds()))
        request = AugmentRequest(records=records, answer=task.answer, k=options.k, seed=options.seed, thresholds=wanted)
        yield request, draw.choice(records)


def _augmented(options: argparse.Namespace, parts: Parts, name: str) -> Iterator[tuple[SharedRecord, Outcome]]:
    writer = ModelDescription(name=name, embedded=False, prompt=options.form)
    for request, record in _requests(options):
        work = Work(request, (writer,), math.inf, lambda: False, print)
        yield record, asyncio.run(augment_record(work, parts, record))


def _verdict(record: SharedRecord, line: PairLine) -> dict[str, Any]:
    scores = Scores(**line.scores.model_dump())
    found = added((line.input, line.output), (record.input, record.output))
    verdict = judge(scores, Thresholds(), found)
    return {
        "kept": verdict.kept,
        "reasons": [name for name, reason in verdict.reasons.items() if reason],
        "scores": line.scores.model_dump(),
        "original": [record.input, record.output],
        "synthetic": [line.input, line.output],
    }


def main() -> None:
    """Print the kept share and what stopped the rest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--task", required=True)
    parser.add_argument("--model", type=Path, metavar="FILE")
    parser.add_argument("--form", default="sentences")
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = ModelFile(options.model.stem, options.model) if options.model else embedded_model()
    parts = Parts((LlamaModel(model),), EmbeddedNli())
    found, tokens, drawn, started = [], 0, 0, time.perf_counter()
    for record, outcome in _augmented(options, parts, model.name):
        found += [_verdict(record, line) for line in outcome.lines if isinstance(line, PairLine)]
        tokens, drawn = tokens + outcome.tokens, drawn + options.k
    seconds = time.perf_counter() - started
    stopped = collections.Counter(reason for pair in found for reason in pair["reasons"])
    kept = sum(pair["kept"] for pair in found)
    print(f"{model.name}, {options.form}, k = {options.k}, {min(options.users, drawn // options.k)} users")
    print(f"{drawn} drawn, {len(found)} pairs, {kept} kept ({kept / max(drawn, 1):.0%}); rejected by {dict(stopped)}")
    print(f"{tokens} tokens in {seconds:.0f} s; {tokens / max(kept, 1):.0f} tokens a kept pair")
    if options.out:
        options.out.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in found))


if __name__ == "__main__":
    main()
