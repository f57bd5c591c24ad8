"""Fine-tuning here beside TRL's `SFTTrainer`: examples a second, peak memory and loss; nothing is asserted.

    pip install -c constraints.txt 'cdcda[bench]'
    python -m tests.benchmarks.against_trl DATA/lamp5_titles [--model PATH] [--rounds 2] [--checkpointing]
    python -m tests.benchmarks.against_trl --data-dir DIR [--task title] ...

Both sides get the same token ids in the same batches, the same NF4 base and first adapter, the same rates, AdamW and
the precision that `cdcda train` computes in here (app/device/precision.py); each runs in processes of its own, by turns
(ABAB), after one run each that warms the files and is not counted. With `--data-dir` the rows are what `cdcda train`
would learn from there: the person's records joined with the kept pairs, the newest held out. With LaMP's files they are
the records of user 0, its two newest held out, and as stand-ins for pairs those of the users that follow. `--own-order`
lets TRL draw its own batches of like length.

Examples a second are those of the steps alone. Memory is the highest resident size of a process (on a GPU what torch
had allocated). The losses of both adapters on the held-out rows are taken by one evaluator, transformers' own.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.device import batching, finetuning, lora, losses, memory, stepping, threads, training, weights
from app.device.catalogue import EMBEDDED, find_model
from app.device.precision import best_precision, computing
from app.device.rendering import Example, render_example
from app.device.tokenising import open_tokeniser
from app.device.training import FineTuning
from app.evaluation.people import read_people
from app.lamp import people, read_questions
from app.pipeline.dataset import TrainingText, gather
from app.pipeline.workspace import open_workspace
from app.tasks import find_task

SIDES = ("ours", "trl")
BF16_PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bfloat16 operations a second that the makers state."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What both sides train: written as JSON, read by each process."""

    prepared: str
    examples: list[Example]
    held_out: list[Example]
    settings: FineTuning
    checkpointing: bool
    """Whether TRL computes activations anew in the backward pass, as it does by default."""
    own_order: bool


@dataclasses.dataclass(frozen=True)
class Result:
    """What a side's process says at its end."""

    losses: list[float]
    """One a step."""
    seconds: float
    """Spent in steps."""
    cpu_seconds: float
    """Of all the process's threads, from before the first step to after the last; hardly touched by what else runs."""
    loaded_mb: float
    """Resident before the first step."""
    peak_mb: float


def read_work(path: Path) -> Work:
    """The work as the parent wrote it."""
    raw = json.loads(path.read_text("utf-8"))
    for name in ("examples", "held_out"):
        raw[name] = [Example(tuple(item["prompt_ids"]), tuple(item["completion_ids"])) for item in raw[name]]
    return Work(**raw | {"settings": FineTuning(**raw["settings"])})


def resident_mb() -> float:
    """Memory of this process now."""
    import psutil

    return float(psutil.Process().memory_info().rss / 1e6)


def train_ours(work: Work, folder: Path) -> Result:
    """The program's own trainer, through its front door."""
    before: list[tuple[float, float]] = []

    def note() -> bool:
        before.append((resident_mb(), time.process_time()))
        return False

    outcome = finetuning.fine_tune(
        Path(work.prepared), work.examples, [], work.settings, folder, lambda _: None, should_stop=note
    )
    loaded, began = before[0]
    return Result(list(outcome.losses), outcome.seconds, time.process_time() - began, loaded, outcome.peak_memory_mb)


def _rows(work: Work) -> Any:
    """The examples as TRL takes them when they are tokens already, in the order of our batches, epoch after epoch."""
    import datasets

    settings = work.settings
    epochs = [
        batching.plan_epoch(work.examples, settings.batch, settings.seed, epoch)
        for epoch in range(1, settings.epochs + 1)
    ]
    laid_out = [example for batches in epochs for batch in batches for example in batch]
    chosen = work.examples if work.own_order else laid_out
    columns = {
        "input_ids": [[*item.prompt_ids, *item.completion_ids] for item in chosen],
        "labels": [[-100] * len(item.prompt_ids) + [*item.completion_ids] for item in chosen],
    }
    # With a fingerprint of our own: this dill cannot pickle a table of this pyarrow to compute one.
    return datasets.Dataset(datasets.table.InMemoryTable.from_pydict(columns), fingerprint="rows")


def _padding_tokeniser() -> Any:
    """TRL asks a tokenizer for the token to fill up with, and for nothing else where rows are tokens already."""
    import tokenizers
    import transformers

    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<pad>": 0}, unk_token="<pad>"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<pad>")


def _trl_arguments(work: Work, folder: Path, device: str) -> Any:
    import trl

    settings = work.settings
    return trl.SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch,
        num_train_epochs=settings.epochs if work.own_order else 1,
        train_sampling_strategy="group_by_length" if work.own_order else "sequential",
        learning_rate=settings.learning_rate,
        max_grad_norm=1.0,
        bf16=best_precision(device) == "bfloat16",
        use_cpu=device == "cpu",
        gradient_checkpointing=work.checkpointing,
        completion_only_loss=True,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=settings.max_tokens,
        seed=settings.seed,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=device != "cpu",
    )


def _clock() -> Any:
    """A callback of transformers that adds up the seconds in steps and keeps each step's loss."""
    import transformers

    class Clock(transformers.TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.seconds, self.losses, self.loaded, self.began = 0.0, list[float](), 0.0, 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.loaded, self.began = resident_mb(), time.process_time()

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.monotonic()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.seconds += time.monotonic() - self.started

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            self.losses += [logs["loss"]] if "loss" in logs else []

    return Clock()


def _in_precision(network: Any, device: str) -> Any:
    """The network with everything that is not in NF4, and what NF4 is multiplied in, as wide as is computed in here."""
    import torch

    if best_precision(device) == "bfloat16":
        return network
    for module in network.modules():
        if hasattr(module, "compute_dtype"):
            module.compute_dtype = torch.float32
    for parameter in network.parameters():
        if parameter.dtype == torch.bfloat16:
            parameter.data = parameter.data.float()
    return network


def train_trl(work: Work, folder: Path) -> Result:
    """TRL's trainer on the same base, adapter, optimiser and rates."""
    import torch
    import trl

    settings, device = work.settings, weights.best_device()
    network = _in_precision(weights.load_for_training(Path(work.prepared), settings.quantisation, device), device)
    adapted = lora.add_adapter(network, settings)
    clock, steps = _clock(), training.count_steps(len(work.examples), settings)
    arguments = _trl_arguments(work, folder, device)
    trainer = trl.SFTTrainer(
        adapted, arguments, train_dataset=_rows(work), processing_class=_padding_tokeniser(), callbacks=[clock]
    )
    # After SFTTrainer, which turns the adapter into bfloat16.
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    trainer.optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0)
    trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
        trainer.optimizer, lambda step: stepping.learning_rate(step, steps, settings) / settings.learning_rate
    )
    trainer.train()
    cpu_seconds = time.process_time() - clock.began
    peak = memory.peak_mb(device)
    adapted.save_pretrained(str(folder))
    return Result(clock.losses, clock.seconds, cpu_seconds, clock.loaded, peak)


def held_out_loss(work: Work, folder: Path) -> float:
    """Mean loss of an adapter on the held-out rows, by transformers and PEFT in float32 over the NF4 weights."""
    import peft
    import torch

    network = weights.load_for_training(Path(work.prepared), work.settings.quantisation, weights.best_device())
    adapted = peft.PeftModel.from_pretrained(network, str(folder)).train()
    total = 0.0
    with torch.no_grad(), computing(network.device.type, "bfloat16"):
        for item in work.held_out:
            ids = torch.tensor([[*item.prompt_ids, *item.completion_ids]], device=network.device)
            labels = ids.clone()
            labels[0, : len(item.prompt_ids)] = -100
            total += adapted(input_ids=ids, labels=labels).loss.item() * len(item.completion_ids)
    return total / losses.count_completion(work.held_out)


def _child(act: str, work: Path, folder: Path) -> Any:
    """What a process of its own answers, after everything that the libraries print."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.against_trl", act, str(work), str(folder)]
    environment = os.environ | threads.environment() | {"TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def be_child(act: str, work: Path, folder: Path) -> None:
    """Do one side's training, or the scoring of its adapter, and print the answer as JSON."""
    sides = {"ours": train_ours, "trl": train_trl}
    read = read_work(work)
    answer = dataclasses.asdict(sides[act](read, folder)) if act in sides else held_out_loss(read, folder)
    print("\n" + json.dumps(answer))


def rows_of(folder: Path, tokeniser: Any, settings: FineTuning, rows: int) -> tuple[list[Example], list[Example]]:
    """Rows to train on, user 0's first, and the two held out."""
    task = find_task("title")
    questions = read_questions(folder / "dev_questions.json", folder / "dev_outputs.json")
    users = [person.user for person in people(questions)]
    own = read_people(folder, task.name, 1, ["0"]).targets[0].records
    others = [
        pair for user in users if user != "0" for pair in read_people(folder, task.name, 1, [user]).targets[0].records
    ]

    def rendered(pairs: Sequence[Any]) -> list[Example]:
        return [render_example(tokeniser, task, pair.input, pair.output, settings.max_tokens) for pair in pairs]

    return rendered([*own[:-2], *others][:rows]), rendered(own[-2:])


def rows_of_person(
    data_dir: Path, task: str, tokeniser: Any, settings: FineTuning, rows: int
) -> tuple[list[Example], list[Example]]:
    """The rows that a training of that person's would learn from, records and kept pairs, and those held out.

    Every batch must be full, so up to three of the oldest records are left out.
    """
    data = gather(open_workspace(data_dir), task)

    def rendered(texts: Sequence[TrainingText]) -> list[Example]:
        return [render_example(tokeniser, data.task, text.input, text.output, settings.max_tokens) for text in texts]

    count = min(rows, len(data.texts)) // settings.batch * settings.batch
    print(f"{len(data.record_ids)} records, {len(data.pair_ids)} kept pairs; {count} of them are learned")
    return rendered(data.texts[len(data.texts) - count :]), rendered(data.held_out)


def _rows_to_train(chosen: argparse.Namespace, tokeniser: Any, settings: FineTuning) -> Any:
    if chosen.data_dir is not None:
        return rows_of_person(chosen.data_dir, chosen.task, tokeniser, settings, chosen.rows)
    return rows_of(chosen.data, tokeniser, settings, chosen.rows)


def _means(values: Sequence[float], parts: int) -> list[float]:
    """Mean of each epoch."""
    size = len(values) // parts
    return [statistics.fmean(values[first : first + size]) for first in range(0, size * parts, size)]


def _print_result(name: str, result: Result, work: Work) -> None:
    seen = len(work.examples) * work.settings.epochs
    cells = (
        f"{seen / result.seconds:.3f}",
        f"{result.cpu_seconds / seen:.2f}",
        f"{result.peak_mb:.0f}",
        f"{result.peak_mb - result.loaded_mb:.0f}",
    )
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _print_losses(work: Work, results: dict[str, list[Result]], scores: dict[str, float]) -> None:
    ours, trl = (results[side][-1].losses for side in SIDES)
    steps = [f"{a:.3f}/{b:.3f}" for a, b in zip(ours, trl, strict=True)]
    print("\nLoss of each step, ours/TRL: " + " ".join(steps))
    pairs = list(zip(*(_means(values, work.settings.epochs) for values in (ours, trl)), strict=True))
    print("Mean of each epoch: " + " ".join(f"{a:.4f}/{b:.4f}" for a, b in pairs))
    print(f"Largest difference of an epoch's means {max(abs(a - b) for a, b in pairs):.4f} nats")
    print(f"Held out: ours {scores['ours']:.4f}, TRL {scores['trl']:.4f}")


def _print_ratios(results: dict[str, list[Result]]) -> None:
    seconds = {side: statistics.median(result.seconds for result in results[side]) for side in SIDES}
    cpu = {side: statistics.median(result.cpu_seconds for result in results[side]) for side in SIDES}
    peaks = {side: statistics.median(result.peak_mb for result in results[side]) for side in SIDES}
    above = {side: statistics.median(item.peak_mb - item.loaded_mb for item in results[side]) for side in SIDES}
    print(f"\nExamples a second: {seconds['trl'] / seconds['ours']:.2f} times TRL's (at least 1.5 wanted)")
    print(f"Examples in a second of a core: {cpu['trl'] / cpu['ours']:.2f} times TRL's")
    print(f"Peak memory: {peaks['ours'] / peaks['trl']:.2f} of TRL's (at most 0.6 wanted)")
    print(f"Above what is there before the first step: {above['ours'] / above['trl']:.2f} of TRL's")


def _print_share_of_peak(work: Work, results: dict[str, list[Result]]) -> None:
    """On a known GPU: operations of the frozen linear layers, forward and backward, by what the chip can do."""
    import torch

    if not torch.cuda.is_available():
        return
    import safetensors

    name = torch.cuda.get_device_name()
    peak = next((value for chip, value in BF16_PEAK.items() if chip in name), None)
    weights_counted = 0
    for path in Path(work.prepared).glob("*.safetensors"):
        with safetensors.safe_open(path, "pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys() if "layers" in key]  # noqa: SIM118
            weights_counted += sum(shape[0] * shape[1] for shape in shapes if len(shape) == 2)
    tokens = sum(map(batching.length, work.examples)) * work.settings.epochs
    for side in SIDES:
        rate = 4 * weights_counted * tokens / statistics.median(item.seconds for item in results[side])
        print(f"{side}: {rate / 1e12:.1f} TFLOP/s" + (f", {rate / peak:.1%} of the {name}'s bf16 peak" if peak else ""))


def _measure(work: Work, rounds: int, folder: Path) -> None:
    path = folder / "work.json"
    path.write_text(json.dumps(dataclasses.asdict(work)), "utf-8")
    short = dataclasses.replace(work, examples=work.examples[: work.settings.batch])
    (folder / "short.json").write_text(json.dumps(dataclasses.asdict(short)), "utf-8")
    for side in SIDES:
        _child(side, folder / "short.json", folder / "warm")
    print("| side | examples/s | CPU s an example | peak MB | of it after loading |\n|---|---|---|---|---|", flush=True)
    results: dict[str, list[Result]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            results[side].append(Result(**_child(side, path, folder / side)))
            _print_result(side, results[side][-1], work)
    scores = {side: _child("score", path, folder / side) for side in SIDES}
    _print_losses(work, results, scores)
    _print_ratios(results)
    _print_share_of_peak(work, results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("data", type=Path, nargs="?", help="a folder of LaMP's files")
    source.add_argument("--data-dir", type=Path, help="a person's data folder, with its kept pairs")
    parser.add_argument("--task", default="title", help="of the records in the data folder")
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=48, help="a multiple of the batch")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--checkpointing", action="store_true", help="TRL's default: less memory, slower")
    parser.add_argument("--own-order", action="store_true", help="TRL draws its own batches of like length")
    return parser.parse_args()


def main() -> None:
    """Measure both sides and print the figures, or be one of the processes."""
    if len(sys.argv) == 4 and sys.argv[1] in (*SIDES, "score"):
        return be_child(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    chosen = _arguments()
    settings = FineTuning(epochs=chosen.epochs, batch=chosen.batch)
    with tempfile.TemporaryDirectory() as folder:
        model = find_model(chosen.model, Path(folder))
        prepared = weights.prepare(model, Path(folder), print)
        examples, held_out = _rows_to_train(chosen, open_tokeniser(model), settings)
        lengths = sorted(map(batching.length, examples))
        print(f"{len(examples)} rows of {lengths[0]} to {lengths[-1]} tokens, median {statistics.median(lengths):.0f}")
        work = Work(str(prepared), examples, held_out, settings, chosen.checkpointing, chosen.own_order)
        _measure(work, chosen.rounds, Path(folder))
    return None


if __name__ == "__main__":
    main()
