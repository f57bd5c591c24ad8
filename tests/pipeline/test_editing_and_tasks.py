import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.errors import BadInput
from app.pipeline import editing, looking
from app.pipeline.dataset import gather
from app.pipeline.estimating import estimate, in_words, set_prices
from app.pipeline.importing import import_file
from app.pipeline.network import set_offline
from app.pipeline.payload import build_payload, destination_of
from app.pipeline.sharing import share_ids
from app.pipeline.tasks import all_tasks, delete_task, find_task, make_task
from app.pipeline.workspace import Workspace, open_workspace
from personal_store.errors import StoreBusy
from personal_store.records import count_records, get_records
from tests.pipeline.support import new_record, workspace_with


def test_a_record_is_added_edited_deleted_and_all_undone(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    record = editing.add(workspace, "title", "  It flooded. ", "The lane", "31 May 2024")
    assert (record.input, record.created_at, record.shared, record.findings) == ("It flooded.", "2024-05-31", False, ())
    assert editing.edit(workspace, record.id, output="The ford").output == "The ford"
    editing.set_task(workspace, [record.id], "headline")
    editing.delete(workspace, [record.id])
    kinds = [change.kind for change in iter(lambda: editing.undo(workspace), None)]
    assert kinds == ["deleted", "edited", "edited", "added"]


@pytest.mark.parametrize(
    "act",
    [
        lambda workspace, ids: share_ids(workspace, ids),
        lambda workspace, ids: editing.edit(workspace, ids[0], output="The ford"),
        lambda workspace, ids: editing.set_task(workspace, ids[:1], "headline"),
        lambda workspace, ids: editing.undo(workspace),
    ],
    ids=["share", "edit", "task", "undo"],
)
def test_a_history_that_must_be_looked_at_again_is_so_while_others_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Workspace, Sequence[int]], object]
) -> None:
    workspace, ids = workspace_with(tmp_path, 5)
    editing.edit(workspace, ids[0], output="The lane")
    impatient = dataclasses.replace(workspace, busy_seconds=0.0)
    locked: list[str] = []

    def findings(input: str, output: str) -> tuple[str, ...]:
        try:
            set_offline(impatient, False)
        except StoreBusy:
            locked.append(input)
        return ()

    monkeypatch.setattr(looking, "edition", lambda: "newer")
    monkeypatch.setattr(looking, "findings", findings)
    act(workspace, ids)
    # What is changed itself is looked at along with the change.
    assert set(locked) <= {new_record(0).input}


def test_a_kept_answer_is_a_record_that_is_looked_at_not_shared_and_can_be_undone(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    kept = editing.keep_answer(workspace, "chat", "Whom do I ask?", "Ask jo@example.org, she knows.\r\n")
    assert kept
    assert (kept.task, kept.output, kept.shared) == ("chat", "Ask jo@example.org, she knows.", False)
    assert kept.findings == ("e-mail address",)
    assert editing.keep_answer(workspace, "chat", "Whom do I ask?", "Ask jo@example.org, she knows.") is None
    make_task(workspace, "mood", "{input}", answer="label", labels=("good", "bad"))
    with pytest.raises(BadInput, match="one of good, bad"):
        editing.keep_answer(workspace, "mood", "It rained.", "wet")
    assert editing.undo(workspace)
    with workspace.store() as store:
        assert count_records(store).total == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("title", "", "b"), "1 to"),
        (("title", "a", " "), "1 to"),
        (("title", "a", "b", "someday"), "Expected a date"),
        (("poem", "a", "b"), "There is no task"),
    ],
)
def test_what_cannot_be_a_record_is_refused(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        editing.add(open_workspace(tmp_path), *arguments)


def test_a_task_of_ones_own_goes_the_whole_way(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "data")
    make_task(workspace, "mood", "Which mood is it? {input}", answer="label", labels=("good", "bad", " good"))
    task = find_task(workspace, "mood")
    assert (task.labels, task.metric, task.prompt("Rain.")) == (("good", "bad"), "accuracy", "Which mood is it? Rain.")
    path = tmp_path / "moods.csv"
    path.write_text("text,mood\nIt rained all day.,bad\nThe sun came out.,good\nIt was grey today.,so so\n")
    done = import_file(workspace, path, task="mood", input="text", output="mood")
    assert [row.reason for row in done.rejected] == ["the output (mood) is none of the task's labels"]
    with pytest.raises(BadInput, match="one of good, bad"):
        editing.edit(workspace, done.ids[0], output="grand")
    with workspace.store() as store:
        assert get_records(store, done.ids[:1])[0].output == "bad"
    share_ids(workspace, done.ids)
    assert build_payload(workspace).request["answer"] == "label"
    assert gather(workspace).task == task
    editing.delete(workspace, done.ids)
    delete_task(workspace, "mood")
    assert "mood" not in {task.name for task in all_tasks(workspace)}


@pytest.mark.parametrize("how", ["deleted", "given another task"])
def test_a_record_comes_back_only_to_a_task_that_is_there(tmp_path: Path, how: str) -> None:
    workspace = open_workspace(tmp_path)
    make_task(workspace, "haiku", "{input}")
    record = editing.add(workspace, "haiku", "frog", "The old pond")
    if how == "deleted":
        editing.delete(workspace, [record.id])
    else:
        editing.set_task(workspace, [record.id], "chat")
    delete_task(workspace, "haiku")
    with pytest.raises(BadInput, match="there is no task 'haiku' any more; make it again"):
        editing.undo(workspace)
    with workspace.store() as store:
        assert "haiku" not in count_records(store).by_task
    make_task(workspace, "haiku", "{input}")
    editing.undo(workspace)
    with workspace.store() as store:
        assert count_records(store).by_task == {"haiku": 1}
    editing.undo(workspace)


@pytest.mark.parametrize(
    ("name", "template", "answer", "labels"),
    [
        ("title", "{input}", "text", ()),
        ("My Task", "{input}", "text", ()),
        ("mood", "no place", "text", ()),
        ("mood", "{input}", "label", ("one",)),
        ("mood", "{input}", "text", ("one", "two")),
        ("mood", "{input}", "poem", ()),
    ],
)
def test_a_task_that_would_not_work_is_refused(
    tmp_path: Path, name: str, template: str, answer: str, labels: tuple[str, ...]
) -> None:
    with pytest.raises(BadInput):
        make_task(open_workspace(tmp_path), name, template, answer=answer, labels=labels)  # type: ignore[arg-type]


def test_giving_a_task_that_a_label_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 2)
    make_task(workspace, "mood", "{input}", answer="label", labels=("good", "bad"))
    with pytest.raises(BadInput):
        editing.set_task(workspace, ids, "mood")
    with workspace.store() as store:
        assert count_records(store).by_task == {"title": 2}


def test_the_estimate_counts_each_record_k_times_and_uses_the_persons_prices(tmp_path: Path) -> None:
    workspace, ids = workspace_with(tmp_path, 2)
    share_ids(workspace, ids)
    local = build_payload(workspace, k=3)
    elsewhere = build_payload(workspace, destination_of("https://service.example"), k=3)
    gateway = build_payload(workspace, destination_of("http://127.0.0.1:8765", "api.example"), k=3)
    assert estimate(workspace, local).cost == 0
    assert "costs nothing" in in_words(estimate(workspace, local))
    assert estimate(workspace, elsewhere).cost is None
    assert estimate(workspace, gateway).cost is None
    set_prices(workspace, 1.0, 2.0)
    found = estimate(workspace, elsewhere)
    assert found.cost == pytest.approx((found.read + 2 * found.written) / 1e6)
    assert estimate(workspace, gateway).cost == found.cost
    assert estimate(workspace, local).cost == 0
    assert found.read == found.written + 3 * 2 * 60
    with pytest.raises(BadInput):
        set_prices(workspace, -1, 0)
