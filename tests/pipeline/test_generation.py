import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.device.engines import Sampling
from app.device.rendering import Message
from app.errors import AdapterRefused, BadInput, ModelClosed, ModelMissing
from app.pipeline import adapters, comparison, switching
from app.pipeline.cleaning import clean
from app.pipeline.comparison import Place, compare, reveal, stream_comparison, vote, vote_by_place
from app.pipeline.generation import Writer, keep_answer, retrieve, stored_draft
from app.pipeline.models import device_model, model_rows, use_model
from app.pipeline.workspace import Workspace, open_workspace
from personal_store import generations, records
from personal_store.errors import NotFound
from personal_store.nouns import NewRecord
from tests.pipeline.support import personal_adapter, usable_adapter
from tests.tiny import tiny_gguf

SHORT = Sampling(max_tokens=8)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = open_workspace(tmp_path / "data")
    use_model(made, str(tiny_gguf(tmp_path)))
    return made


@pytest.fixture
def writer(workspace: Workspace) -> Iterator[Writer]:
    made = Writer(workspace)
    yield made
    made.close()


def test_an_answer_grows_and_is_stored_with_what_wrote_it(workspace: Workspace, writer: Writer) -> None:
    drafts = list(writer.stream("A note", "title", sampling=SHORT))
    assert all(later.text.startswith(earlier.text) for earlier, later in itertools.pairwise(drafts[:-1]))
    last = drafts[-1]
    assert last.generation
    with workspace.store() as store:
        stored = generations.get_generation(store, last.generation.id)
    assert (stored.text, stored.task, stored.prompt, stored.adapter_id) == (last.text, "title", "A note", None)
    assert stored.settings["model"] == last.model == "tiny-llama-0"


def test_the_same_question_has_the_same_answer(writer: Writer) -> None:
    warm = Sampling(max_tokens=8, temperature=0.9, seed=3)
    first = writer.generate("A note", sampling=warm).text
    writer.generate("Another note", sampling=warm)
    assert writer.generate("A note", sampling=warm).text == first


def test_a_conversation_that_is_too_long_loses_its_beginning(writer: Writer) -> None:
    earlier = [Message("user" if turn % 2 == 0 else "assistant", "word " * 150) for turn in range(8)]
    draft = writer.generate("and now?", sampling=SHORT, earlier=earlier)
    assert draft.left_out == "the beginning of the conversation"
    both = writer.generate("word " * 4000, sampling=SHORT, earlier=earlier)
    assert both.left_out == "the beginning of the conversation and the end of your text"


def test_a_very_long_text_is_cut_and_answered_and_the_answer_says_so(workspace: Workspace, writer: Writer) -> None:
    draft = writer.generate("word " * 4000, "title", sampling=SHORT)
    assert draft.generation
    assert draft.left_out == "the end of your text"
    with workspace.store() as store:
        assert stored_draft(store, draft.generation.id).left_out == draft.left_out
    assert writer.generate("word " * 40, "title", sampling=SHORT).left_out == ""


def test_without_an_adapter_there_is_nothing_to_compare_with(writer: Writer) -> None:
    with pytest.raises(AdapterRefused, match="train one"):
        compare(writer, "A note")
    with pytest.raises(NotFound):
        writer.generate("A note", adapter=7)
    with pytest.raises(BadInput):
        writer.generate(" \n")


def test_an_adapter_whose_folder_is_gone_is_refused_and_the_base_still_writes(
    workspace: Workspace, writer: Writer
) -> None:
    shutil.rmtree(workspace.adapters / usable_adapter(workspace).folder)
    with pytest.raises(AdapterRefused):
        writer.generate("A note", sampling=SHORT)
    assert writer.generate("A note", adapter="none", sampling=SHORT).adapter_id is None
    with pytest.raises(AdapterRefused):
        list(stream_comparison(writer, "A note", sampling=SHORT))


def test_an_adapter_of_another_model_is_off_until_that_model_writes_again(
    tmp_path: Path, workspace: Workspace, writer: Writer
) -> None:
    first, own = device_model(workspace), usable_adapter(workspace)
    assert switching.active(workspace) == own
    use_model(workspace, str(tiny_gguf(tmp_path, "qwen2", 1)))
    assert switching.active(workspace) is None
    assert writer.generate("A note", sampling=SHORT).adapter_id is None
    with pytest.raises(AdapterRefused, match=r"no adapter yet for the model tiny-qwen2-1 to write with"):
        compare(writer, "A note", sampling=SHORT)
    for asked in (own.id, "latest"):
        with pytest.raises(
            AdapterRefused, match=r"adapter Title 0 was trained on tiny-llama-0 and not on tiny-qwen2-1"
        ):
            writer.generate("A note", adapter=asked, sampling=SHORT)
    with pytest.raises(AdapterRefused, match="Title 0"):
        switching.switch(workspace, own.id)
    with pytest.raises(AdapterRefused, match="Title 0"):
        adapters.export(workspace, own.id, "peft")
    use_model(workspace, str(first.path))
    assert writer.generate("A note", sampling=SHORT).adapter_id == own.id


def test_a_comparison_takes_the_newest_adapter_that_fits(tmp_path: Path, workspace: Workspace, writer: Writer) -> None:
    own, other = usable_adapter(workspace), tiny_gguf(tmp_path, "qwen2", 1)
    personal_adapter(workspace, other, "Theirs", 1)
    switching.switch(workspace, None)
    assert compare(writer, "A note", sampling=SHORT).after.adapter_id == own.id


def test_a_kept_answer_becomes_a_record_that_is_not_shared(workspace: Workspace, writer: Writer) -> None:
    draft = writer.generate("A note", "title", sampling=SHORT)
    assert draft.generation
    kept = clean(draft.text).strip()
    record_id = keep_answer(workspace, draft.generation.id)
    assert record_id
    with workspace.store() as store:
        (record,) = records.get_records(store, [record_id])
    assert (record.input, record.output, record.source, record.shared) == ("A note", kept, "written here", False)
    assert keep_answer(workspace, draft.generation.id) is None


def test_an_edited_answer_is_kept_as_the_person_wrote_it(workspace: Workspace, writer: Writer) -> None:
    draft = writer.generate("A note", "title", sampling=SHORT)
    assert draft.generation
    record_id = keep_answer(workspace, draft.generation.id, "my own title")
    assert record_id
    with workspace.store() as store:
        assert records.get_records(store, [record_id])[0].output == "my own title"
    with pytest.raises(BadInput, match="empty"):
        keep_answer(workspace, draft.generation.id, " ")


def test_an_answer_that_is_stopped_is_kept_as_far_as_it_came(writer: Writer) -> None:
    asked = iter([False, False, True])
    *_, last = writer.stream("A note", "title", sampling=Sampling(max_tokens=200), should_stop=lambda: next(asked))
    assert last.generation
    assert 0 < last.tokens < 200


@pytest.mark.parametrize("after_first", [True, False])
@pytest.mark.parametrize(("place", "meant"), [("first", True), ("second", False), ("same", None)])
def test_a_blind_vote_goes_to_the_side_that_stood_there(
    workspace: Workspace,
    writer: Writer,
    monkeypatch: pytest.MonkeyPatch,
    after_first: bool,
    place: Place,
    meant: bool | None,
) -> None:
    usable_adapter(workspace)
    monkeypatch.setattr(comparison, "coin", lambda: after_first)
    *_, last = stream_comparison(writer, "A note", "title", sampling=SHORT, blind=True)
    assert last.comparison
    assert last.in_order[0].adapter_name == ("Title 0" if after_first else None)
    voted = vote_by_place(workspace, last.comparison.id, place)
    assert voted.vote == ("same" if meant is None else "after" if meant == after_first else "before")
    shown = reveal(workspace, voted.id)
    assert (shown.before.text, shown.after.text) == (last.before.text, last.after.text)
    assert (shown.before.adapter_name, shown.after.adapter_name) == (None, "Title 0")


def test_the_order_of_a_blind_comparison_is_drawn_and_that_of_another_is_not() -> None:
    assert {comparison.coin() for _ in range(100)} == {True, False}


def test_a_comparison_that_is_not_blind_has_the_base_first(workspace: Workspace, writer: Writer) -> None:
    usable_adapter(workspace)
    last = compare(writer, "A note", "title", sampling=SHORT)
    assert last.comparison
    assert (last.comparison.blind, last.comparison.after_first) == (False, False)


def test_a_vote_needs_a_comparison(workspace: Workspace) -> None:
    with pytest.raises(NotFound):
        vote(workspace, 1, "after")


def test_another_model_is_taken_at_the_next_answer(workspace: Workspace, writer: Writer, tmp_path: Path) -> None:
    writer.generate("A note", sampling=SHORT)
    use_model(workspace, str(tiny_gguf(tmp_path, "qwen2")))
    assert writer.generate("A note", sampling=SHORT).model == "tiny-qwen2-0"


def test_an_answer_on_its_way_ends_with_a_sentence_where_another_model_is_taken_meanwhile(
    workspace: Workspace, writer: Writer, tmp_path: Path
) -> None:
    answer = writer.stream("A note", sampling=SHORT)
    next(answer)
    use_model(workspace, str(tiny_gguf(tmp_path, "qwen2")))
    writer.generate("A note", sampling=SHORT)
    with pytest.raises(ModelClosed, match="another was chosen"):
        list(answer)


def test_the_chosen_model_is_shown_and_a_missing_one_is_said(workspace: Workspace, tmp_path: Path) -> None:
    assert device_model(workspace).path == tmp_path / "tiny-llama-0.gguf"
    assert {row.name for row in model_rows(workspace) if row.installed} >= {"smollm2-135m"}
    (tmp_path / "tiny-llama-0.gguf").unlink()
    with pytest.raises(ModelMissing):
        device_model(workspace)
    assert model_rows(workspace)
    with pytest.raises(ModelMissing):
        use_model(workspace, "qwen2.5-3b")


def add_record(workspace: Workspace, task: str, input: str, output: str) -> None:
    with workspace.store() as store:
        records.add_records(store, [NewRecord(task, input, output, None, "test")])


def test_the_most_similar_records_of_the_task_are_found(workspace: Workspace) -> None:
    add_record(workspace, "title", "A boat on the river", "Boats")
    add_record(workspace, "title", "A mouse in the kitchen", "Mice")
    add_record(workspace, "chat", "Which boat is it?", "The red one")
    assert retrieve(workspace, "title", "the river and its boat", 1) == [("A boat on the river", "Boats")]
    add_record(workspace, "title", "The river boat", "Newer boats")
    # Its own answer would stand in for one.
    assert retrieve(workspace, "title", " The river boat\n", 1) == [("A boat on the river", "Boats")]
    found = retrieve(workspace, "LaMP_5", "the river boat", 9)
    assert [output for _, output in found] == ["Newer boats", "Boats", "Mice"]
    assert retrieve(workspace, "headline", "the river boat", 9) == retrieve(workspace, "title", "boat", 0) == []
    with pytest.raises(BadInput, match="no task"):
        retrieve(workspace, "poem", "boat", 1)


def test_records_stand_in_the_prompt_where_they_are_asked_for(workspace: Workspace, writer: Writer) -> None:
    add_record(workspace, "title", "A boat on the river", "Boats")
    without = writer.generate("A boat", "title", sampling=SHORT)
    with_it = writer.generate("A boat", "title", sampling=SHORT, retrieved=4)
    assert (without.records, with_it.records) == (0, 1)
    assert without.generation
    assert with_it.generation
    assert with_it.generation.settings["records"] == 1
    assert with_it.generation.settings["prompt_tokens"] > without.generation.settings["prompt_tokens"] + 50


def test_records_are_left_out_before_turns_and_text_where_there_is_no_room(
    workspace: Workspace, writer: Writer
) -> None:
    for number in range(9):
        add_record(workspace, "chat", f"word {number} " * 60, f"answer {number} " * 30)
    draft = writer.generate("word " * 100, sampling=SHORT, retrieved=9)
    assert 0 < draft.records < 9
    assert writer.generate("word " * 4000, sampling=SHORT, retrieved=9).records == 0
