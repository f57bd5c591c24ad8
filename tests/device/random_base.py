"""A task base of random numbers for a tiny model, finished as the service finishes one, without a training."""

from pathlib import Path
from typing import Any

from app.device.adapters import LICENCE, finish
from app.device.bases import BaseManifest, TaskBase, load_base
from app.device.catalogue import find_model
from app.device.merging import halve
from app.device.rendering import template_hash
from app.device.tokenising import open_tokeniser
from app.device.weights import model_hash
from tests.device.random_adapter import random_adapter
from tests.tiny import HEADS, KEY_VALUE_HEADS, LAYERS, Architecture


def base_manifest(model_path: Path, name: str, **changes: Any) -> BaseManifest:
    """What such a base tells of itself."""
    model = find_model(str(model_path), model_path.parent)
    layout = {"model_type": "qwen2" if "qwen2" in model_path.name else "llama", "num_hidden_layers": LAYERS}
    told: dict[str, Any] = {
        "name": name, "title": "Titles", "task": "title", "model": model.name, "model_hash": model_hash(model),
        "quantisation": "nf4", "template_hash": template_hash(open_tokeniser(model)),
        "layout": {**layout, "num_attention_heads": HEADS, "num_key_value_heads": KEY_VALUE_HEADS},
        "data": "made up", "licence": "CC0", "attribution": "nobody", "users": 3, "examples": 9, "held_out_users": 1,
        "held_out": 2, "settings": {"rank": 4}, "seed": 0, "created_at": "2026-01-02T03:04:05Z", "final_loss": 1.0,
        "held_out_loss": 1.0, "untrained_held_out_loss": 2.0, "best_epoch": 1, "losses": (1.0,),
        "held_out_losses": (1.0,), "tokens_per_second": 1.0, "peak_memory_mb": 1.0, "seconds": 1.0, "device": "cpu",
        "scores": {"questions": 2, "rouge_1": {"untrained": 0.1, "trained": 0.3}},
    }  # fmt: skip
    return BaseManifest(**{**told, **changes})


def random_base(parent: Path, model_path: Path, name: str = "titles", seed: int = 5, **changes: Any) -> TaskBase:
    """Writes the base's folder below `parent`; `changes` are fields of its manifest."""
    parent.mkdir(parents=True, exist_ok=True)
    architecture: Architecture = "qwen2" if "qwen2" in model_path.name else "llama"
    folder = random_adapter(parent, architecture, seed).rename(parent / name)
    (folder / "adapter.gguf").unlink()
    (folder / LICENCE).write_text("Learned from nobody.\n", "utf-8")
    halve(folder)
    finish(folder, base_manifest(model_path, name, **changes))
    return load_base(folder)
