"""BERTScore (Zhang et al. 2020) on an encoder that is on this computer.

Each token of the answer is matched with the gold's most similar token by the cosine of their contextual embeddings and
the other way round; precision and recall are the means, F1 their harmonic mean. As the `bert-score` package does it
without idf and without rescaling: a token may be matched with the special tokens at the ends, which are themselves left
out of the means.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.errors import ModelMissing
from app.pipeline.encoding import encoder_folder

EMBEDDED = "all-MiniLM-L6-v2"
BATCH = 32
ENDS = 2
"""Special tokens around every text."""
LAYERS = {("roberta", 24, 1024): 17, ("roberta", 12, 768): 10, ("bert", 24, 1024): 18, ("bert", 12, 768): 9}
"""The layer that the package takes, by architecture, layers and size; for other encoders the last one is taken here."""
SNAPSHOTS = "snapshots"
"""Folder of a hub's cache that holds a model's revisions; above it is one named models--OWNER--NAME."""


def _name(folder: Path) -> str:
    """The encoder's own name, where the folder is a revision in a hub's cache too."""
    folder = folder.absolute()
    return folder.parts[-3].split("--")[-1] if folder.parent.name == SNAPSHOTS else folder.name


def layer_of(config: Any) -> int:
    """The hidden state that texts are compared by, from transformers' description of an encoder; -1: the last."""
    return LAYERS.get((config.model_type, config.num_hidden_layers, config.hidden_size), -1)


class BertScorer:
    """An encoder and its tokenizer, loaded when the first text comes."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is an encoder in transformers' format; without one, the embedded encoder is taken."""
        self._folder = folder
        self.name = _name(folder) if folder else EMBEDDED

    @functools.cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Tokenizer and network."""
        import transformers

        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        folder = self._folder or encoder_folder()
        try:
            network = transformers.AutoModel.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
            # As in the package: RoBERTa has other tokens for a first word than for the same word after a space.
            prefix = {"add_prefix_space": True} if network.config.model_type == "roberta" else {}
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, **prefix)
        except (OSError, ValueError) as error:
            raise ModelMissing(
                f"{folder} should hold an encoder in transformers' format with safetensors but cannot be loaded; name"
                " another folder with --encoder, or leave it out for the embedded one."
            ) from error
        return tokenizer, network.eval()

    def _embed(self, texts: Sequence[str]) -> list[Any]:
        """For each text an array [tokens, size] of unit vectors; the first and the last are the special tokens."""
        import torch

        tokenizer, network = self._parts
        layer = layer_of(network.config)
        found = []
        for start in range(0, len(texts), BATCH):
            batch = tokenizer(list(texts[start : start + BATCH]), padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                states = network(**batch, output_hidden_states=True).hidden_states
            vectors = torch.nn.functional.normalize(states[layer], dim=-1)
            for row, mask in zip(vectors, batch["attention_mask"], strict=True):
                found.append(row[mask.bool()].numpy())
        return found

    def f1(self, answers: Sequence[str], golds: Sequence[str]) -> list[float]:
        """F1 of each answer, at most 1; 0 where either side has no token."""
        different = sorted({*answers, *golds}, key=len)
        vectors = dict(zip(different, self._embed([text.strip() for text in different]), strict=True))
        return [_greedy_f1(vectors[answer], vectors[gold]) for answer, gold in zip(answers, golds, strict=True)]


def _greedy_f1(answer: Any, gold: Any) -> float:
    if len(answer) <= ENDS or len(gold) <= ENDS:
        return 0.0
    alike = answer @ gold.T
    precision, recall = float(alike.max(axis=1)[1:-1].mean()), float(alike.max(axis=0)[1:-1].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
