"""Tokens that a record costs the augmenter, counted with its own tokenizer on real data; nothing is asserted.

python -m tests.benchmarks.tokens_per_record --data DIR --model FILE [--k 5] [--users 20] [--score 12]

DIR has `lamp5_titles` and `lamp7_tweets` in LaMP's format, FILE is a GGUF of the augmenter (its vocabulary alone is
read). Prompt tokens are exact for each form. Generated tokens are those of answers as long as their example, which is
what the length filter aims at: the example's own pair for each of the k samples. Pieces of the form `sentences` are
counted once each, without what is drawn again. `--score N` also has the embedded scorer score k rewrites of N records,
a record at a time as the service does, and prints processor seconds.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cloud_stub.llama_library import Vocabulary, open_model
from cloud_stub.pieces import pieces
from cloud_stub.prompts import BRIDGE, LEAD, Prompt, build_prompt, one_line, sentence_prompt, variation_prompt
from cloud_stub.schemas import AugmentRequest, SharedRecord
from cloud_stub.scoring import score_inputs

FIELDS = {"lamp5_titles": ("abstract", "title"), "lamp7_tweets": ("neutral", "text")}
TURN = 10
"""Tokens that a chat template puts around two turns, about."""


def requests_of(folder: Path, users: int, k: int) -> Iterator[AugmentRequest]:
    """A request for each user with all of their records."""
    source, target = FIELDS[folder.name]
    seen: set[str] = set()
    for question in json.loads((folder / "dev_questions.json").read_text("utf-8")):
        if question["user_id"] in seen or len(seen) == users:
            continue
        seen.add(question["user_id"])
        pairs = [(item[source], item[target]) for item in question["profile"] if item.get(source) and item[target]]
        records = [
            SharedRecord(reference=f"{number:016x}", input=one, output=other)
            for number, (one, other) in enumerate(pairs)
        ]
        yield AugmentRequest(records=tuple(records), k=k)


class Counter:
    """Counts with a model's own tokenizer."""

    def __init__(self, model: Path) -> None:
        self._vocabulary = Vocabulary(open_model(model, vocabulary_only=True))

    def text(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._vocabulary.encode(text))

    def prompt(self, prompt: Prompt) -> int:
        """Tokens of a chat, its turns included."""
        contents = [text for turn in prompt.demonstrations for text in turn] + [prompt.text, prompt.lead]
        return sum(map(self.text, contents)) + TURN * (1 + len(prompt.demonstrations))

    def whole(self, form: str) -> Callable[[AugmentRequest, SharedRecord], tuple[int, int]]:
        """Prompt and generated tokens of a record, in a form that writes whole pairs."""

        def count(request: AugmentRequest, record: SharedRecord) -> tuple[int, int]:
            prompt = build_prompt("paper" if form == "paper" else "rewrite", request, record)
            answer = f"{LEAD} {one_line(record.input)}\n{BRIDGE} {one_line(record.output)}\n"
            return self.prompt(prompt), request.k * self.text(answer)

        return count

    def by_sentence(self, request: AugmentRequest, record: SharedRecord) -> tuple[int, int]:
        """Prompt and generated tokens of a record, piece by piece; a piece's k samples share its prompt."""
        parts = pieces(one_line(record.input))
        prompts = [*map(sentence_prompt, parts), variation_prompt(request, record)]
        answers = [*parts, one_line(record.output)]
        return sum(map(self.prompt, prompts)), request.k * sum(map(self.text, answers))


def score(requests: list[AugmentRequest], records: int) -> str:
    """What it takes to score k rewrites of a record; processor time, so that other work does not count."""
    import torch

    from cloud_stub.nli import EmbeddedNli

    scorer, draw = EmbeddedNli(), random.Random(1)
    chosen = [(request, record) for request in requests for record in request.records][:records]
    rewrites = [[_shuffled(record.input, draw) for _ in range(request.k)] for request, record in chosen]
    score_inputs(chosen[0][1].input, rewrites[0], scorer)
    started = time.process_time()
    for (_, record), texts in zip(chosen, rewrites, strict=True):
        score_inputs(record.input, texts, scorer)
    seconds = (time.process_time() - started) / len(chosen)
    return f"  scored in {seconds:.2f} processor seconds a record, {torch.get_num_threads()} threads"


def _shuffled(text: str, draw: random.Random) -> str:
    words = text.split()
    draw.shuffle(words)
    return " ".join(words)


def main() -> None:
    """Print a row for each data set and form: median and mean, and the 95th of a hundred."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--score", type=int, default=0, metavar="N")
    options = parser.parse_args()
    counter = Counter(options.model)
    forms = {"paper": counter.whole("paper"), "rewrite": counter.whole("rewrite"), "sentences": counter.by_sentence}
    for name in FIELDS:
        requests = list(requests_of(options.data / name, options.users, options.k))
        bytes_each = [len(record.model_dump_json()) for request in requests for record in request.records]
        print(f"{name}: {len(requests)} users, {len(bytes_each)} records, {statistics.mean(bytes_each):.0f} bytes each")
        for form, count in forms.items():
            counts = [count(request, record) for request in requests for record in request.records]
            for what, numbers in zip(("prompt", "generated"), zip(*counts, strict=True), strict=True):
                cuts = statistics.quantiles(numbers, n=20)
                shown = f"mean {statistics.mean(numbers):6.0f}  median {cuts[9]:6.0f}  95% {cuts[18]:6.0f}"
                print(f"  {form:9} {what:9} {shown}")
        if options.score:
            print(score(requests, options.score))


if __name__ == "__main__":
    main()
