import dataclasses
import errno
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.device import adapters, batching, finetuning, lora, losses, stepping, training, weights
from app.device.catalogue import EMBEDDED, find_model
from app.device.finetuning import fine_tune
from app.device.precision import best_precision, computing
from app.device.rendering import Example, render_example
from app.device.tokenising import open_tokeniser
from app.device.training import FineTuning, Outcome, Progress
from app.errors import BadInput, DiskFull, JobRefused, NothingToTrain, NotWritten, OutOfMemory
from app.tasks import find_task
from tests.limits import largest_file
from tests.tiny import IM_END, IM_START, tiny_folder

QUICK = FineTuning(epochs=2, batch=4, learning_rate=5e-3)


def example(prompt: str, completion: str) -> Example:
    return Example((IM_START, *prompt.encode()), (*completion.encode(), IM_END))


EXAMPLES = [example(f"say {letter}" + "." * number, letter.upper() * 3) for number, letter in enumerate("abcdefghij")]
HELD_OUT = [example("say k", "KKK"), example("say l....", "LLL")]


def train(
    base: Path,
    folder: Path,
    settings: FineTuning = QUICK,
    *,
    held_out: list[Example] = HELD_OUT,
    listener: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
    should_end: Callable[[], bool] = finetuning.never,
) -> Outcome:
    return fine_tune(base, EXAMPLES, held_out, settings, folder, listener, should_stop, resume, should_end=should_end)


def adapter_bytes(folder: Path) -> bytes:
    return (folder / lora.ADAPTER_WEIGHTS).read_bytes() + (folder / lora.ADAPTER_CONFIG).read_bytes()


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps + 1))
    return lambda: next(asked) == steps


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than a tiny network's arithmetic where others use the cores too."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path)


@pytest.mark.parametrize("quantisation", ["nf4", "none"])
def test_a_fixed_mapping_is_learned(base: Path, tmp_path: Path, quantisation: weights.Quantisation) -> None:
    settings = dataclasses.replace(QUICK, epochs=30, learning_rate=2e-2, quantisation=quantisation)
    outcome = train(base, tmp_path / "adapter", settings, held_out=EXAMPLES[:3])
    assert outcome.base_held_out_loss is not None
    assert outcome.held_out_loss is not None
    assert outcome.base_held_out_loss > 3
    assert outcome.held_out_loss < 0.3
    assert outcome.final_loss < 0.3
    assert (outcome.steps, outcome.stopped, outcome.quantisation) == (90, False, quantisation)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_peft_loads_the_adapter_and_it_has_the_loss_that_was_measured(base: Path, tmp_path: Path) -> None:
    import peft
    import torch

    folder = tmp_path / "adapter"
    outcome = train(base, folder, dataclasses.replace(QUICK, epochs=5))
    network = weights.load_for_training(base, "nf4", "cpu")
    peft.PeftModel.from_pretrained(network, folder).train()
    assert outcome.held_out_loss == losses.held_out_loss(network, HELD_OUT, "cpu")
    layers = [layer for name, layer in network.named_modules() if name.endswith("lora_B.default")]
    assert len(layers) == 14
    assert all(torch.any(layer.weight != 0) for layer in layers)


def test_a_training_that_is_ended_keeps_the_best_adapter_so_far(base: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(QUICK, epochs=5)
    heard: list[Progress] = []
    outcome = train(base, tmp_path / "ended", settings, listener=heard.append, should_end=stop_after(3))
    assert (outcome.steps, outcome.ended, outcome.stopped) == (4, True, False)
    assert outcome.planned_steps > outcome.steps == outcome.best_step
    # Mid-epoch as it was: scored where it stood, and that is the score of what was written.
    assert outcome.steps % (outcome.planned_steps // settings.epochs)
    assert outcome.held_out_loss == heard[-1].held_out_loss == min(outcome.held_out_losses)
    adapter = adapter_bytes(tmp_path / "ended")
    assert adapter != b""
    whole = train(base, tmp_path / "whole", settings)
    assert (whole.steps, whole.ended) == (whole.planned_steps, False)
    assert whole.losses[:4] == outcome.losses


def test_an_ended_training_without_held_out_examples_keeps_its_last_step(base: Path, tmp_path: Path) -> None:
    outcome = train(base, tmp_path / "ended", held_out=[], should_end=lambda: True)
    assert (outcome.steps, outcome.best_step, outcome.held_out_loss) == (1, 1, None)
    assert adapter_bytes(tmp_path / "ended")


def test_memory_for_the_moments_is_taken_before_the_first_step(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    taken = []
    step = torch.optim.AdamW.step

    def counted(optimiser: Any, *arguments: Any, **named: Any) -> Any:
        taken.append(all("exp_avg_sq" in optimiser.state[p] for g in optimiser.param_groups for p in g["params"]))
        return step(optimiser, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    train(base, tmp_path / "adapter", dataclasses.replace(QUICK, epochs=1))
    assert taken
    assert all(taken)


def test_the_same_run_twice_gives_the_same_bytes_and_another_seed_others(base: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        train(base, folder, dataclasses.replace(QUICK, seed=seed))
    one, two, three = (adapter_bytes(folder) for folder in folders)
    assert one == two
    assert one != three
    assert str(base).encode() not in one


@pytest.mark.parametrize("steps", [0, 2, 3, 5, 6])
def test_a_stopped_run_goes_on_to_the_same_adapter(base: Path, tmp_path: Path, steps: int) -> None:
    whole = train(base, tmp_path / "whole")
    stopped = train(base, tmp_path / "parts", should_stop=stop_after(steps))
    assert stopped.stopped == (steps < 6)
    assert len(stopped.losses) == steps
    resumed = train(base, tmp_path / "parts", resume=True)
    assert adapter_bytes(tmp_path / "parts") == adapter_bytes(tmp_path / "whole")
    assert resumed.losses == whole.losses
    assert resumed.held_out_losses == whole.held_out_losses
    assert resumed.base_held_out_loss == whole.base_held_out_loss


@pytest.mark.parametrize(
    ("number", "kind", "todo"),
    [
        (errno.ENOSPC, DiskFull, "free some"),
        (errno.EIO, NotWritten, "may be failing"),
        (errno.EROFS, NotWritten, "writable again"),
    ],
)
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before_to_go_on_from(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception], todo: str
) -> None:
    import safetensors.torch

    settings, folder = dataclasses.replace(QUICK, epochs=4), tmp_path / "adapter"
    write, calls = safetensors.torch.save_file, iter(range(100))

    def refused(tensors: Any, path: Path, **named: Any) -> None:
        write(tensors, path, **named)
        if next(calls) == 1:
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(safetensors.torch, "save_file", refused)
        with pytest.raises(kind, match=f"The training's checkpoint cannot be written .*{todo}"):
            train(base, folder, settings)
    assert [path.name for path in folder.iterdir()] == ["checkpoint.safetensors"]
    resumed = train(base, folder, settings, resume=True)
    undisturbed = train(base, tmp_path / "undisturbed", settings)
    assert (resumed.steps, resumed.losses) == (undisturbed.steps, undisturbed.losses)
    assert adapter_bytes(folder) == adapter_bytes(tmp_path / "undisturbed")


def test_a_checkpoint_larger_than_files_may_be_is_a_sentence_and_the_training_can_be_resumed(
    base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    assert train(base, folder, should_stop=stop_after(2)).stopped
    before = (folder / "checkpoint.safetensors").read_bytes()
    with largest_file(len(before) // 2), pytest.raises(DiskFull, match="ulimit"):
        train(base, folder, resume=True)
    assert [path.name for path in folder.iterdir()] == ["checkpoint.safetensors"]
    assert (folder / "checkpoint.safetensors").read_bytes() == before
    train(base, folder, resume=True)
    train(base, tmp_path / "undisturbed")
    assert adapter_bytes(folder) == adapter_bytes(tmp_path / "undisturbed")


@pytest.mark.parametrize("name", [lora.ADAPTER_WEIGHTS, lora.ADAPTER_CONFIG])
def test_an_adapter_that_cannot_be_written_is_a_sentence_and_resuming_writes_it(
    base: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "adapter"
    (folder / name).mkdir(parents=True)
    with pytest.raises(NotWritten, match=r"The adapter.*Is a directory"):
        train(base, folder)
    (folder / name).rmdir()
    assert not list(folder.glob("*.part"))
    steps: list[int] = []
    train(base, folder, resume=True, listener=lambda progress: steps.append(progress.step))
    assert steps == []
    train(base, tmp_path / "undisturbed")
    assert adapter_bytes(folder) == adapter_bytes(tmp_path / "undisturbed")


def test_a_file_in_place_of_the_training_s_folder_is_a_sentence(base: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "adapter"):
        with pytest.raises(NotWritten, match="no file stands where a folder should be"):
            train(base, folder)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_memory_that_runs_out_in_the_middle_of_a_step_is_a_sentence_and_nothing_of_the_step_stays(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    settings, folder = dataclasses.replace(QUICK, epochs=4), tmp_path / "adapter"
    step, calls = torch.optim.AdamW.step, iter(range(100))

    def half(optimiser: Any) -> None:
        if next(calls) == 5:
            with torch.no_grad():
                optimiser.param_groups[0]["params"][0].add_(1.0)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        step(optimiser)

    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", half)
        with pytest.raises(OutOfMemory, match="close other programs"):
            train(base, folder, settings)
    resumed = train(base, folder, settings, resume=True)
    undisturbed = train(base, tmp_path / "undisturbed", settings)
    assert resumed.losses == undisturbed.losses
    assert adapter_bytes(folder) == adapter_bytes(tmp_path / "undisturbed")


def test_a_checkpoint_that_was_half_written_when_the_process_was_killed_is_passed_over(
    base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    assert train(base, folder, should_stop=stop_after(2)).stopped
    whole = (folder / "checkpoint.safetensors").read_bytes()
    (folder / "checkpoint.safetensors.part").write_bytes(whole[: len(whole) // 2])
    (folder / lora.ADAPTER_WEIGHTS).write_bytes(b"half an adapter")
    train(base, folder, resume=True)
    train(base, tmp_path / "undisturbed")
    assert adapter_bytes(folder) == adapter_bytes(tmp_path / "undisturbed")


def test_a_killed_run_goes_on_from_its_last_epoch(base: Path, tmp_path: Path) -> None:
    def die(progress: Progress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt

    train(base, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(base, tmp_path / "parts", listener=die)
    steps: list[int] = []
    train(base, tmp_path / "parts", resume=True, listener=lambda progress: steps.append(progress.step))
    assert steps == [4, 5, 6]
    assert adapter_bytes(tmp_path / "parts") == adapter_bytes(tmp_path / "whole")


def test_a_stopped_run_leaves_a_checkpoint_and_no_adapter(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter", should_stop=stop_after(2))
    assert [path.name for path in (tmp_path / "adapter").iterdir()] == ["checkpoint.safetensors"]


def test_a_checkpoint_of_another_run_is_refused_and_kept(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter", should_stop=stop_after(2))
    with pytest.raises(JobRefused, match="anew"):
        train(base, tmp_path / "adapter", dataclasses.replace(QUICK, rank=8), resume=True)
    assert (tmp_path / "adapter" / "checkpoint.safetensors").is_file()


def test_without_resume_a_checkpoint_is_not_used(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter", should_stop=stop_after(2))
    steps: list[int] = []
    train(base, tmp_path / "adapter", listener=lambda progress: steps.append(progress.step))
    assert steps == [1, 2, 3, 4, 5, 6]


def test_the_epoch_with_the_least_held_out_loss_is_kept(base: Path, tmp_path: Path) -> None:
    contrary = [example(f"say {letter}", "zzz") for letter in "abcdefghij"]
    settings = dataclasses.replace(QUICK, epochs=8, learning_rate=2e-2)
    outcome = train(base, tmp_path / "adapter", settings, held_out=contrary)
    assert outcome.held_out_loss == min(outcome.held_out_losses)
    assert outcome.held_out_losses[outcome.best_epoch - 1] == outcome.held_out_loss
    assert outcome.best_epoch < 8


def test_training_ends_when_the_held_out_loss_has_not_fallen_for_as_long_as_the_patience(
    base: Path, tmp_path: Path
) -> None:
    settings = dataclasses.replace(QUICK, epochs=40, learning_rate=2e-2, patience=1)
    whole = train(base, tmp_path / "whole", settings)
    assert len(whole.held_out_losses) == whole.best_epoch + 1 < 40
    assert whole.held_out_losses[-1] >= whole.held_out_losses[-2]
    train(base, tmp_path / "stopped", settings, should_stop=stop_after(whole.steps - 1))
    assert train(base, tmp_path / "stopped", settings, resume=True).losses == whole.losses
    assert adapter_bytes(tmp_path / "stopped") == adapter_bytes(tmp_path / "whole")


class _Narrow:
    """A loss for which memory runs out, as torch says it, above so many tokens at once."""

    def __init__(self, room: int) -> None:
        self.room, self.seen = room, list[int]()

    def __call__(self, network: Any, examples: Sequence[Example], device: str) -> Any:
        tokens = len(examples) * max(batching.length(item) for item in examples)
        if tokens > self.room:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        self.seen.append(len(examples))
        return losses.completion_loss(network, examples, device)


@pytest.mark.slow
def test_micro_batches_halve_until_they_fit_and_the_step_stays_the_same(base: Path, tmp_path: Path) -> None:
    narrow, settings = _Narrow(40), dataclasses.replace(QUICK, epochs=1)
    folder = tmp_path / "adapter"
    halved = fine_tune(base, EXAMPLES, HELD_OUT, settings, folder, lambda _: None, lambda: False, loss=narrow)
    wide = train(base, tmp_path / "wide", settings)
    assert max(narrow.seen) < settings.batch
    assert sum(narrow.seen) >= len(EXAMPLES)
    assert halved.steps == wide.steps
    assert halved.losses == pytest.approx(wide.losses, rel=2e-2)


@pytest.mark.slow
def test_no_room_for_one_example_is_a_sentence(base: Path, tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="smaller model"):
        fine_tune(base, EXAMPLES, [], QUICK, tmp_path / "none", lambda _: None, lambda: False, loss=_Narrow(1))


def test_another_runtime_error_is_not_taken_for_a_lack_of_memory(base: Path, tmp_path: Path) -> None:
    def broken(network: Any, examples: Sequence[Example], device: str) -> Any:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        fine_tune(base, EXAMPLES, [], QUICK, tmp_path / "none", lambda _: None, lambda: False, loss=broken)


def test_without_held_out_examples_the_last_epoch_is_kept(base: Path, tmp_path: Path) -> None:
    outcome = train(base, tmp_path / "adapter", held_out=[])
    assert (outcome.held_out_loss, outcome.base_held_out_loss, outcome.best_epoch) == (None, None, 2)


def test_the_listener_hears_of_every_step(base: Path, tmp_path: Path) -> None:
    heard: list[Progress] = []
    outcome = train(base, tmp_path / "adapter", listener=heard.append)
    assert [progress.step for progress in heard] == [1, 2, 3, 4, 5, 6]
    assert [progress.epoch for progress in heard] == [1, 1, 1, 2, 2, 2]
    assert [progress.held_out_loss is not None for progress in heard] == [False, False, True, False, False, True]
    assert {progress.steps for progress in heard} == {training.count_steps(len(EXAMPLES), QUICK)}
    assert [progress.loss for progress in heard] == list(outcome.losses)
    assert heard[-1].seconds_left == 0
    assert all(progress.tokens_per_second > 0 and progress.peak_memory_mb > 100 for progress in heard)


def test_the_loss_is_that_of_all_logits_masked_to_the_completion(base: Path) -> None:
    import torch

    network = weights.load_for_training(base, "none", "cpu").float()
    examples = [EXAMPLES[0], EXAMPLES[9], HELD_OUT[1]]
    expected = torch.tensor(0.0)
    for item in examples:
        ids = torch.tensor([[*item.prompt_ids, *item.completion_ids]])
        labels = ids.clone()
        labels[0, : len(item.prompt_ids)] = -100
        expected += network(input_ids=ids, labels=labels).loss * len(item.completion_ids)
    assert losses.completion_loss(network, examples, "cpu").item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("quantisation", ["nf4", "none"])
def test_scoring_before_training_lets_gradients_through(base: Path, quantisation: weights.Quantisation) -> None:
    """bitsandbytes packs NF4 weights for inference on a CPU, if it may, and then they pass no gradient on."""
    import torch

    network = weights.load_for_training(base, quantisation, "cpu")
    parameters = lora.adapter_parameters(lora.add_adapter(network, QUICK).train())
    losses.held_out_loss(network, HELD_OUT, "cpu")
    with computing("cpu", best_precision("cpu")):
        losses.completion_loss(network, EXAMPLES, "cpu").backward()
    gradients = [parameter.grad for name, parameter in parameters.items() if "lora_B" in name]
    assert len(gradients) == 14
    assert all(torch.any(gradient != 0) for gradient in gradients)


def test_micro_batches_change_the_memory_and_not_the_gradient(base: Path, tmp_path: Path) -> None:
    import torch

    network = weights.load_for_training(base, "none", "cpu")
    parameters = lora.adapter_parameters(lora.add_adapter(network, QUICK).train())
    network.float()
    learned = next(parameter for name, parameter in parameters.items() if "up_proj.lora_B" in name)
    gradients = []
    for limit in (30, 10_000):
        for group in batching.micro_batches(EXAMPLES, limit):
            losses.completion_loss(network, group, "cpu").backward()
        assert learned.grad is not None
        gradients.append(learned.grad.clone())
        learned.grad = None
    assert torch.any(gradients[0] != 0)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


def test_micro_batches_hold_to_their_limit_and_lose_nothing() -> None:
    long = example("x" * 200, "y")
    groups = list(batching.micro_batches([*EXAMPLES, long], 60))
    assert [long] in groups
    assert all(len(group) * max(map(batching.length, group)) <= 60 for group in groups if group != [long])
    assert sorted(item.prompt_ids for group in groups for item in group) == sorted(
        item.prompt_ids for item in [*EXAMPLES, long]
    )


def test_an_epoch_sees_every_example_once_in_an_order_of_its_own() -> None:
    first, second = (batching.plan_epoch(EXAMPLES, 3, seed=0, epoch=epoch) for epoch in (1, 2))
    for plan in (first, second):
        assert sorted(item.prompt_ids for batch in plan for item in batch) == sorted(e.prompt_ids for e in EXAMPLES)
    assert first != second
    assert first == batching.plan_epoch(EXAMPLES, 3, seed=0, epoch=1)


def test_the_rate_warms_up_and_ends_above_zero() -> None:
    settings = FineTuning(learning_rate=1.0, warmup=0.25)
    rates = [stepping.learning_rate(step, 8, settings) for step in range(8)]
    assert rates[:3] == [0.5, 1.0, pytest.approx(6 / 7)]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] > 0


def test_nothing_to_train_is_a_sentence(base: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToTrain, match="import records"):
        fine_tune(base, [], HELD_OUT, QUICK, tmp_path / "adapter", lambda _: None, lambda: False)
    assert not (tmp_path / "adapter").exists()


def test_a_rate_that_blows_up_is_a_sentence(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="learning rate"):
        train(base, tmp_path / "adapter", dataclasses.replace(QUICK, learning_rate=1e30, epochs=4))


def test_settings_that_make_no_sense_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="rank"):
        train(base, tmp_path / "adapter", dataclasses.replace(QUICK, rank=0))


@pytest.mark.slow
def test_the_embedded_model_trained_twice_on_two_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    import torch

    torch.set_num_threads(2)
    model = find_model(EMBEDDED, tmp_path)
    tokeniser, task = open_tokeniser(model), find_task("title")
    items = [
        render_example(tokeniser, task, f"A note on {word} and more. " * 5, f"On {word}", 128)
        for word in ("rain", "salt", "maps", "bread", "night")
    ]
    prepared = weights.prepare(model, tmp_path / "prepared", lambda _: None)
    settings = FineTuning(epochs=1, batch=2)
    folders = [tmp_path / name for name in ("one", "two")]
    first, second = (
        fine_tune(prepared, items[:4], items[4:], settings, folder, lambda _: None, lambda: False) for folder in folders
    )
    assert first.losses == second.losses
    assert adapter_bytes(folders[0]) == adapter_bytes(folders[1])


@pytest.mark.slow
def test_the_embedded_model_learns_an_invented_style(tmp_path: Path) -> None:
    model = find_model(EMBEDDED, tmp_path)
    tokeniser = open_tokeniser(model)
    things = ["apples", "rain", "trains", "salt", "night", "paper", "stones", "bread", "wolves", "maps"]
    items = [
        render_example(tokeniser, find_task("title"), f"A note about {thing}.", f"~ {thing.upper()} ~", 128)
        for thing in things
    ]
    prepared = weights.prepare(model, tmp_path / "prepared", lambda _: None)
    folder = tmp_path / "adapter"
    outcome = fine_tune(prepared, items[:8], items[8:], FineTuning(epochs=4), folder, lambda _: None, lambda: False)
    assert outcome.held_out_loss is not None
    assert outcome.base_held_out_loss is not None
    assert outcome.held_out_loss < outcome.base_held_out_loss / 2
    assert math.isfinite(outcome.final_loss)
    assert adapters.MANIFEST not in {path.name for path in folder.iterdir()}
