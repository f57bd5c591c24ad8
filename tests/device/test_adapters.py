import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from app.device import adapters, weights
from app.device.adapters import MANIFEST, Manifest
from app.device.catalogue import LocalModel
from app.device.finetuning import fine_tune
from app.device.rendering import Example
from app.device.training import FineTuning
from app.errors import AdapterRefused
from tests.device.random_adapter import random_adapter
from tests.tiny import tiny_folder, tiny_gguf

TEMPLATE = "t" * 64


def a_manifest(model: LocalModel) -> Manifest:
    return Manifest(
        base=model.name,
        base_hash=weights.model_hash(model),
        quantisation="nf4",
        template_hash=TEMPLATE,
        task="title",
        training_set=7,
        training_set_hash="s" * 64,
        examples=12,
        held_out=2,
        settings={"rank": 16, "alpha": 8},
        seed=0,
        created_at="2026-01-02T03:04:05Z",
        final_loss=1.5,
        held_out_loss=2.0,
        base_held_out_loss=3.0,
        best_epoch=1,
        losses=(3.0, 1.5),
        held_out_losses=(2.0, 2.5),
        tokens_per_second=100.0,
        peak_memory_mb=900.0,
        seconds=12.0,
        device="cpu",
        scores={"rouge_l": {"base": 0.2, "personal": 0.4}},
    )


@pytest.fixture
def model(tmp_path: Path) -> LocalModel:
    path = tiny_gguf(tmp_path)
    return LocalModel("tiny", path, "gguf")


@pytest.fixture
def folder(tmp_path: Path, model: LocalModel) -> Path:
    """A finished adapter."""
    folder = random_adapter(tmp_path).rename(tmp_path / "adapter")
    (folder / "adapter.gguf").unlink()
    (folder / "checkpoint.safetensors").write_bytes(b"state")
    (folder / "adapter.gguf.part").write_bytes(b"half")
    adapters.finish(folder, a_manifest(model))
    return folder


def test_a_finished_adapter_is_accepted_with_its_whole_story(folder: Path, model: LocalModel) -> None:
    manifest = adapters.check_adapter(folder, model, TEMPLATE)
    expected = a_manifest(model)
    assert dataclasses.replace(manifest, files={}, versions={}) == expected
    assert set(manifest.files) == {"adapter_model.safetensors", "adapter_config.json"}
    assert {"torch", "peft", "bitsandbytes"} <= set(manifest.versions)


def test_finishing_removes_what_a_killed_process_left_and_counts_no_checkpoint(folder: Path) -> None:
    weights = {"adapter_model.safetensors", "adapter_config.json"}
    assert {path.name for path in folder.iterdir()} == {*weights, MANIFEST, "checkpoint.safetensors"}
    assert set(adapters.load_manifest(folder).files) == weights


def test_an_adapter_without_a_manifest_is_unfinished(folder: Path, model: LocalModel) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(AdapterRefused, match="did not end"):
        adapters.check_adapter(folder, model, TEMPLATE)


def test_a_manifest_that_cannot_be_read_is_refused(folder: Path, model: LocalModel) -> None:
    for content in ("", "[]", "{}", '{"format": 1}', '{"format": 99}', "\x00"):
        (folder / MANIFEST).write_text(content)
        with pytest.raises(AdapterRefused):
            adapters.check_adapter(folder, model, TEMPLATE)


def test_a_changed_file_is_refused_by_name(folder: Path, model: LocalModel) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"others!")
    with pytest.raises(AdapterRefused, match=r"adapter_model\.safetensors"):
        adapters.check_adapter(folder, model, TEMPLATE)


def test_a_missing_file_is_refused_by_name(folder: Path, model: LocalModel) -> None:
    (folder / "adapter_config.json").unlink()
    with pytest.raises(AdapterRefused, match="adapter_config"):
        adapters.check_adapter(folder, model, TEMPLATE)


def test_a_manifest_that_names_a_file_elsewhere_is_refused(folder: Path, model: LocalModel) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    content["files"]["../tiny-llama-0.gguf"] = weights.file_hash(model.path)
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(AdapterRefused, match="should hold"):
        adapters.check_adapter(folder, model, TEMPLATE)


def test_another_base_is_refused_and_a_moved_one_is_not(folder: Path, tmp_path: Path, model: LocalModel) -> None:
    moved = LocalModel("moved", Path(shutil.copy(model.path, tmp_path / "moved.gguf")), "gguf")
    adapters.check_adapter(folder, moved, TEMPLATE)
    other = LocalModel("other", tiny_gguf(tmp_path, seed=1), "gguf")
    with pytest.raises(AdapterRefused, match="trained on tiny and not on this other"):
        adapters.check_adapter(folder, other, TEMPLATE)


def test_another_template_is_refused(folder: Path, model: LocalModel) -> None:
    with pytest.raises(AdapterRefused, match="template"):
        adapters.check_adapter(folder, model, "u" * 64)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auto_mapping", {"base_model_class": "Evil", "parent_library": "evil"}),
        ("megatron_core", "evil"),
        ("megatron_config", {"a": 1}),
        ("peft_type", "PREFIX_TUNING"),
        ("modules_to_save", ["lm_head"]),
        ("init_lora_weights", "pissa"),
        ("r", "16"),
        ("something_new", True),
    ],
)
def test_a_configuration_that_is_more_than_a_plain_lora_is_refused(
    folder: Path, model: LocalModel, name: str, value: object
) -> None:
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {name: value}))
    adapters.finish(folder, a_manifest(model))
    with pytest.raises(AdapterRefused, match=f"sets {name};"):
        adapters.check_adapter(folder, model, TEMPLATE)


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00"])
def test_a_configuration_that_says_nothing_is_refused(folder: Path, model: LocalModel, content: str) -> None:
    (folder / "adapter_config.json").write_text(content)
    adapters.finish(folder, a_manifest(model))
    with pytest.raises(AdapterRefused, match=r"adapter_config\.json"):
        adapters.check_adapter(folder, model, TEMPLATE)


@pytest.mark.parametrize("name", ["adapter_model.bin", "modeling.py", "tokenizer.json"])
def test_a_file_of_another_kind_is_refused(folder: Path, model: LocalModel, name: str) -> None:
    (folder / name).write_bytes(b"import os")
    adapters.finish(folder, a_manifest(model))
    with pytest.raises(AdapterRefused, match=f"names {name}"):
        adapters.check_adapter(folder, model, TEMPLATE)


def test_what_the_trainer_writes_is_a_plain_lora(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path)
    example = Example((1, 2), (3, 4))
    fine_tune(base, [example], [], FineTuning(rank=4, epochs=1), tmp_path / "made", lambda _: None, lambda: False)
    adapters.check_config(tmp_path / "made")
    adapters.check_weights(tmp_path / "made")


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    adapters.check_weights(folder)
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": 4', '"r": 5'))
    with pytest.raises(AdapterRefused, match="two matrices of rank 5"):
        adapters.check_weights(folder)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    with pytest.raises(AdapterRefused, match="two matrices"):
        adapters.check_weights(folder)
