"""What the slider's strategies choose, beside the selection of Qin et al. (2024), on other people's records.

python -m tests.benchmarks.choosing QUESTIONS.json --task LaMP_5 [--ratios 0.1,0.25,0.5] [--seeds 5]

Of each person of a LaMP questions file the newest quarter of the records is held out; each strategy chooses a part of
the rest, by the app's own function. Nothing is trained. Three measures, means over the people: how near the whole
history is to the nearest chosen record, by the cosine of the app's sentence encoder (what "representative" maximises);
how near the held-out inputs are to theirs; and how good the nearest chosen record's output would be as an answer, by
accuracy for labels and ROUGE-1 for texts. Differences are to "random", with a 95 % bootstrap interval over the people.
"""

import argparse
import collections
import dataclasses
import math
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app import lamp
from app.evaluation.metrics import rouge
from app.pipeline.encoding import encode
from app.pipeline.sharing import STRATEGIES, propose
from app.tasks import Task, find_task
from personal_store.nouns import Boxes

DOMAINS = 4
"""Lexicons that Qin's domain score is taken over; there they come with the method, here from the history itself."""
LEXICON = 50
"""Words of each."""
DRAWS = 2000
WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True)
class Person:
    """A history in the order of time, and what came after it."""

    texts: Sequence[str]
    """Input and output of each record, as the slider reads them."""
    outputs: Sequence[str]
    vectors: Any
    """Of the texts."""
    asked: Any
    """Vectors of the held-out inputs."""
    answers: Sequence[str]


Choose = Callable[[Person, float, int], Sequence[int]]


def _people(path: str, task: Task) -> list[Person]:
    found = []
    for person in lamp.people(lamp.read_questions(Path(path))):
        dated = sorted(person.profile, key=lambda item: str(item.get("date", "")))
        pairs = [lamp.pair_of(task, item, neutral=True) for item in dated]
        if len(pairs) >= 8:
            found.append(pairs)
    texts = [f"{pair.input}\n{pair.output}" for pairs in found for pair in pairs]
    vectors, asked = np.asarray(encode(texts)), np.asarray(encode([pair.input for pairs in found for pair in pairs]))
    people, start = [], 0
    for pairs in found:
        end, older = start + len(pairs), start + len(pairs) - max(1, len(pairs) // 4)
        outputs = [pair.output for pair in pairs]
        known = older - start
        people.append(
            Person(texts[start:older], outputs[:known], vectors[start:older], asked[older:end], outputs[known:])
        )
        start = end
    return people


def _entropy(words: Sequence[str]) -> float:
    """Entropy of the words of a text by the logarithm of their number: the embedding of a word is the word's."""
    counts = collections.Counter(words)
    shares = [count / len(words) for count in counts.values()]
    return -sum(share * math.log(share) for share in shares) / math.log(len(words)) if len(words) > 1 else 0.0


def _lexicons(person: Person, seed: int) -> list[frozenset[str]]:
    """The most telling words of each of a few groups of the history."""
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    groups = KMeans(min(DOMAINS, len(person.texts)), n_init=4, random_state=seed).fit_predict(person.vectors)
    vectoriser = TfidfVectorizer(stop_words="english", token_pattern=r"(?u)\b\w\w+\b")
    weights = vectoriser.fit_transform(person.texts).toarray()
    words = vectoriser.get_feature_names_out()
    return [frozenset(words[weights[groups == group].mean(axis=0).argsort()[::-1][:LEXICON]]) for group in set(groups)]


def _qin(person: Person, ratio: float, seed: int) -> Sequence[int]:
    """Three scores and a full buffer: a newcomer takes the place of one that is less in each of them."""
    draw, wanted = random.Random(seed), round(ratio * len(person.texts))
    lexicons = _lexicons(person, seed)
    words = [WORD.findall(text.lower()) for text in person.texts]
    hits = [[sum(word in lexicon for word in text) / max(len(text), 1) for lexicon in lexicons] for text in words]
    domains = [int(np.argmax(found)) for found in hits]

    def scores(number: int, buffer: Sequence[int]) -> tuple[float, float, float]:
        others = [other for other in buffer if other != number and domains[other] == domains[number]]
        apart = [1 - float(person.vectors[number] @ person.vectors[other]) for other in others]
        return _entropy(words[number]), sum(hits[number]) / len(lexicons), sum(apart) / len(apart) if apart else 1.0

    buffer: list[int] = []
    for number in range(len(person.texts)):
        if len(buffer) < wanted:
            buffer.append(number)
            continue
        new = scores(number, buffer)
        lesser = [old for old in buffer if all(a > b for a, b in zip(new, scores(old, buffer), strict=True))]
        if lesser:
            buffer[buffer.index(draw.choice(lesser))] = number
    return buffer


def _slider(strategy: Any) -> Choose:
    def choose(person: Person, ratio: float, seed: int) -> Sequence[int]:
        boxes, known = Boxes(tuple(range(len(person.texts)))), dict(zip(person.texts, person.vectors, strict=True))
        texts = person.texts.__getitem__
        return propose(
            boxes, ratio, strategy, seed, lambda ids: list(map(texts, ids)),
            encode=lambda given: np.stack([known[text] for text in given]),
        )  # fmt: skip

    return choose


def _measured(person: Person, chosen: Sequence[int], task: Task) -> tuple[float, float, float]:
    kept = person.vectors[list(chosen)]
    nearest = (person.asked @ kept.T).argmax(axis=1)
    said = [person.outputs[chosen[place]] for place in nearest]
    good = [
        float(a == b) if task.answer != "text" else rouge(a, b)["rouge1"]
        for a, b in zip(said, person.answers, strict=True)
    ]
    near = (person.asked @ kept.T).max(axis=1).mean()
    return float((person.vectors @ kept.T).max(axis=1).mean()), float(near), sum(good) / len(good)


def _interval(differences: Any) -> str:
    draws = np.random.default_rng(0).integers(0, len(differences), (DRAWS, len(differences)))
    low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    return f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def _row(name: str, found: Any, base: Any) -> str:
    cells = [f"{found[:, measure].mean():.3f}" for measure in range(3)]
    apart = ["", ""] if name == "random" else [_interval((found - base)[:, measure]) for measure in (1, 2)]
    return f"| {' | '.join([name, *cells, *apart])} |"


def main() -> None:
    """Measure and print a table for each ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions")
    parser.add_argument("--task", required=True)
    parser.add_argument("--ratios", default="0.1,0.25,0.5")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    task = find_task(options.task)
    people = _people(options.questions, task)
    print(f"{len(people)} people, {sum(len(person.texts) for person in people)} records, {task.name}")
    ways: dict[str, Choose] = {name: _slider(name) for name in STRATEGIES} | {"Qin et al.": _qin}
    for ratio in map(float, options.ratios.split(",")):
        # One record at least: a tenth of a short history would be none.
        share = {id(person): max(ratio, 1 / len(person.texts)) for person in people}
        found = {
            name: np.mean(
                [
                    [_measured(person, choose(person, share[id(person)], seed), task) for person in people]
                    for seed in range(options.seeds)
                ],
                axis=0,
            )
            for name, choose in ways.items()
        }
        print(f"\nratio {ratio}\n| | history | held-out | answer | held-out, beside random | answer, beside random |")
        print("|---|---|---|---|---|---|")
        for name, values in found.items():
            print(_row(name, values, found["random"]))


if __name__ == "__main__":
    main()
