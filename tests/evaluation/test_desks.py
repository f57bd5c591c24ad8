"""Answers that are kept, and what tells one from another."""

import dataclasses
import json
from pathlib import Path

import pytest

from app.device.catalogue import LocalModel
from app.device.training import FineTuning
from app.evaluation.desks import CONTEXT, Desk, write_json
from app.lamp import LampPair
from app.tasks import find_task
from tests.tiny import tiny_gguf

TASK = find_task("LaMP_5")
QUICK = FineTuning(rank=2, epochs=1, max_tokens=128)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(LocalModel("tiny", tiny_gguf(tmp_path), "gguf"), tmp_path / "cache")


def kept(desk_folder: Path) -> int:
    return len(list((desk_folder / "cache" / "answers").glob("*.json")))


def test_equal_training_is_done_once_and_leaves_no_adapter(desk: Desk, tmp_path: Path) -> None:
    prompts = [desk.question_ids(TASK, "a boat")]
    examples = desk.examples(TASK, [LampPair("a river", "River")], QUICK.max_tokens)
    first = desk.personal(TASK, prompts, examples, QUICK)
    again = desk.personal(TASK, prompts, examples, QUICK)
    assert again.answers == first.answers
    assert "made_before" in again.facts
    assert "made_before" not in first.facts
    assert kept(tmp_path) == 1
    desk.personal(TASK, prompts, examples, dataclasses.replace(QUICK, seed=1))
    desk.personal(TASK, prompts, examples * 2, QUICK)
    assert kept(tmp_path) == 3
    assert not list((tmp_path / "cache").glob("adapter-*"))
    desk.close()


def test_a_long_question_leaves_room_for_the_answer(desk: Desk) -> None:
    assert len(desk.question_ids(TASK, "word " * 3000)) <= CONTEXT - 64
    long, short = "word " * 3000, "a short one"
    found = desk.free_ids(TASK, [long, short])
    assert found is not None
    assert len(found) < 100
    assert desk.free_ids(TASK, [long]) is None


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "result.json"
    write_json(path, {"a": "é"})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text("utf-8")) == {"a": "é"}
    assert [found.name for found in path.parent.iterdir()] == ["result.json"]
