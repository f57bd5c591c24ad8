import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.device import memory
from app.device.catalogue import LocalModel, find_model
from app.device.forecasting import MARGIN, Group, Memory, fit, forecast, groups_of, lower_micro_tokens
from app.device.rendering import Example
from app.device.shapes import Shape, shape_of
from app.device.training import FineTuning
from app.errors import BadInput, ModelDamaged
from tests import tiny
from tests.benchmarks.forecast import estimated_mb, find_case, measured_mb
from tests.tiny import Architecture

SMALL = Shape(layers=30, hidden=576, feed_forward=1536, queries=576, keys=192, heads=9, vocabulary=49_152, tied=True)
"""SmolLM2 135M."""
USUAL = FineTuning()


def examples(count: int, prompt: int = 200, completion: int = 20) -> list[Example]:
    return [Example((0,) * prompt, (0,) * completion)] * count


def peak(settings: FineTuning = USUAL, learned: Sequence[Example] = examples(8), **named: object) -> Memory:
    return forecast(SMALL, settings, learned, **{"precision": "bfloat16", **named})  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_file_and_a_folder_of_the_same_network_have_the_same_shape(
    tmp_path: Path, architecture: Architecture
) -> None:
    found = shape_of(find_model(str(tiny.tiny_gguf(tmp_path, architecture)), tmp_path))
    assert found == shape_of(find_model(str(tiny.tiny_folder(tmp_path, architecture)), tmp_path))
    stored = {name: value.size for name, value in tiny.tiny_weights(architecture).items()}
    assert found.linear_weights == sum(size for name, size in stored.items() if "proj.weight" in name)
    assert found.embedding_weights == sum(size for name, size in stored.items() if "embed" in name or "head" in name)
    assert found.tied == (architecture == "qwen2")


def test_the_adapter_has_as_many_weights_as_the_embedded_model_really_trains() -> None:
    assert shape_of(find_model("smollm2-135m", Path())) == SMALL
    assert SMALL.adapter_weights(16) == 4_884_480


def test_what_cannot_be_trained_is_refused_here_too(tmp_path: Path) -> None:
    folder = tiny.tiny_folder(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gemma3"}))
    with pytest.raises(BadInput, match="gemma3"):
        shape_of(LocalModel("other", folder, "safetensors"))
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": None}))
    with pytest.raises(ModelDamaged, match="how large its network is"):
        shape_of(LocalModel("other", folder, "safetensors"))


def test_float32_takes_twice_the_activations_and_a_wider_head() -> None:
    narrow, wide = peak(precision="bfloat16"), peak(precision="float32")
    assert 1.8 < wide.activations.megabytes / narrow.activations.megabytes < 2.1
    assert wide.head.megabytes - narrow.head.megabytes == pytest.approx(49_152 * 576 * 4 / 1e6)
    assert (wide.weights, wide.adapter) == (narrow.weights, narrow.adapter)


def test_the_peak_is_the_sum_of_named_parts_with_a_reason_each() -> None:
    found = peak()
    assert [part.name for part in found.parts] == [
        "Libraries", "Weights", "Adapter", "Activations", "Head", "Loading",
    ]  # fmt: skip
    assert all(part.megabytes > 0 and part.reason for part in found.parts)
    assert found.peak_mb == sum(part.megabytes for part in found.parts)


def test_more_of_anything_takes_more() -> None:
    usual = peak()
    assert peak(dataclasses.replace(USUAL, rank=32)).adapter.megabytes == 2 * usual.adapter.megabytes
    assert peak(dataclasses.replace(USUAL, micro_tokens=256)).activations.megabytes < usual.activations.megabytes
    assert peak(learned=examples(8, completion=40)).head.megabytes == 2 * usual.head.megabytes
    assert peak(dataclasses.replace(USUAL, quantisation="none")).weights.megabytes > usual.weights.megabytes
    assert peak(learned=[*examples(8), *examples(1, 480)]).peak_mb >= usual.peak_mb
    assert peak(held_out=examples(20, 20, 30)).head.megabytes > usual.head.megabytes


def test_unpacking_counts_where_it_takes_more_than_the_training() -> None:
    few = dataclasses.replace(USUAL, micro_tokens=64)
    short = examples(4, 20, 4)
    assert peak(few, short, unpack=True).peak_mb > peak(few, short).peak_mb
    many = examples(4, 300, 200)
    assert peak(learned=many, unpack=True).peak_mb == peak(learned=many).peak_mb


def test_on_a_gpu_neither_the_libraries_nor_the_file_are_in_its_memory() -> None:
    found = peak(device="cuda")
    assert (found.runtime.megabytes, found.loading.megabytes) == (0, 0)
    assert found.activations == peak().activations


def test_the_groups_are_those_that_the_training_will_take() -> None:
    assert groups_of(examples(4, 200, 20), USUAL) == {Group(4 * 219, 4 * 20)}
    assert groups_of(examples(4, 200, 20), dataclasses.replace(USUAL, micro_tokens=256)) == {Group(219, 20)}


@pytest.mark.parametrize(
    ("free", "verdict"), [(999, "does not fit"), (1000, "tight"), (1000 * MARGIN - 1, "tight"), (1000 * MARGIN, "fits")]
)
def test_the_verdict_leaves_room_for_the_estimates_own_error(free: float, verdict: str) -> None:
    assert fit(1000, free) == verdict


def test_fewer_tokens_at_once_are_halves_of_halves() -> None:
    assert [settings.micro_tokens for settings in lower_micro_tokens(USUAL)] == [512, 256, 128, 64]


def test_the_room_is_found_without_torch_and_a_gpus_is_what_its_own_tool_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = memory.find_room()
    assert 0 < room.free_mb < 1e9
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 81000\n")
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(memory, "_built_for_cuda", lambda: True)
    assert memory.find_room() == memory.Room("cuda", 81_000 * 2**20 / 1e6)


@pytest.mark.slow
def test_the_measured_peak_lies_within_a_fifth_of_the_estimate(tmp_path: Path) -> None:
    case = find_case("long answers")
    estimated, measured = estimated_mb("smollm2-135m", case), measured_mb("smollm2-135m", case, tmp_path)
    assert 0.8 * estimated <= measured <= 1.2 * estimated
