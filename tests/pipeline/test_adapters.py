"""Adapters renamed, noted, deleted, taken out in every form and brought back: what they write stays the same."""

import json
import pickle
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.device.adapters import GGUF_ADAPTER
from app.device.catalogue import find_model
from app.device.engines import Sampling, open_engine
from app.device.merged import merged_file
from app.device.rendering import Message, render_prompt
from app.device.tokenising import GgufTokeniser, open_tokeniser
from app.errors import AdapterRefused, BadInput, DiskFull
from app.pipeline import adapters
from app.pipeline.adapters import Form
from app.pipeline.generation import Writer
from app.pipeline.models import use_model
from app.pipeline.workspace import Workspace, open_workspace
from personal_store import training
from personal_store.errors import NotFound
from personal_store.nouns import Adapter
from tests.device.random_base import random_base
from tests.limits import largest_file
from tests.pipeline.support import personal_adapter
from tests.tiny import CHAT_TEMPLATE, tiny_folder, tiny_gguf

SHORT = Sampling(max_tokens=16)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_gguf(tmp_path)


@pytest.fixture
def workspace(tmp_path: Path, model: Path) -> Workspace:
    made = open_workspace(tmp_path / "data")
    use_model(made, str(model))
    return made


@pytest.fixture
def adapter(workspace: Workspace, model: Path) -> Adapter:
    return personal_adapter(workspace, model)


def prompt(model: Path, *turns: str) -> list[int]:
    talk = [Message("user" if number % 2 == 0 else "assistant", turn) for number, turn in enumerate(turns)]
    return render_prompt(open_tokeniser(find_model(str(model), model.parent)), talk)


def tokens(model: Path, ids: Sequence[int], adapter: Path | None = None, base: Path | None = None) -> list[int]:
    engine = open_engine(find_model(str(model), model.parent), threads=1)
    stream = engine.stream(ids, adapter, SHORT, base)
    list(stream)
    engine.close()
    return stream.account.token_ids


def test_a_name_and_a_note_are_the_person_s(workspace: Workspace, adapter: Adapter) -> None:
    assert adapters.rename(workspace, adapter.id, "  My\n letters ").name == "My letters"
    assert adapters.note(workspace, adapter.id, "for Jo\nand others").note == "for Jo\nand others"
    assert [(each.name, each.note) for each in adapters.listing(workspace)] == [("My letters", "for Jo\nand others")]
    for name, says in ((" ", "needs a name"), ("x" * 81, "at most 80")):
        with pytest.raises(BadInput, match=says):
            adapters.rename(workspace, adapter.id, name)
    with pytest.raises(BadInput, match="at most 2,000"):
        adapters.note(workspace, adapter.id, "x" * 2_001)
    with pytest.raises(NotFound):
        adapters.rename(workspace, 9, "nobody")


def test_a_deleted_adapter_is_gone_with_its_files_and_off(workspace: Workspace, model: Path, adapter: Adapter) -> None:
    with workspace.store() as store:
        training.activate(store, adapter.id)
    merged = merged_file(model, [workspace.adapters / adapter.folder / GGUF_ADAPTER], workspace.prepared)
    assert merged is not None
    adapters.delete(workspace, adapter.id)
    assert not merged.exists()
    assert adapters.listing(workspace) == ()
    assert list(workspace.adapters.iterdir()) == []
    with workspace.store() as store:
        assert training.active_adapter(store) is None
    with pytest.raises(NotFound):
        adapters.delete(workspace, adapter.id)


def test_every_form_writes_what_the_adapter_writes_here(
    workspace: Workspace, model: Path, adapter: Adapter, tmp_path: Path
) -> None:
    ids = prompt(model, "What the weather brought.")
    expected = tokens(model, ids, workspace.adapters / adapter.folder)
    peft = Path(adapters.export(workspace, adapter.id, "peft").path)
    merged = Path(adapters.export(workspace, adapter.id, "merged", tmp_path / "merged.gguf").path)
    gguf = Path(adapters.export(workspace, adapter.id, "gguf").path)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(gguf, alone / "adapter.gguf")
    assert peft == workspace.data_dir / "exports" / "mine-1-peft"
    assert tokens(model, ids, peft) == tokens(model, ids, alone) == expected
    assert tokens(merged, ids) == expected
    assert tokens(tiny_folder(tmp_path), ids, peft) == expected
    assert expected != tokens(model, ids)
    assert not list(workspace.data_dir.rglob(".unfinished*"))


def test_what_stands_on_a_base_is_exported_as_one_lora_on_the_bare_model(
    workspace: Workspace, model: Path, tmp_path: Path
) -> None:
    base = random_base(workspace.bases, model)
    adapter = personal_adapter(workspace, model, base=base)
    ids = prompt(model, "What the weather brought.")
    exact = tiny_folder(tmp_path)
    expected = tokens(exact, ids, workspace.adapters / adapter.folder, base.folder)
    peft = Path(adapters.export(workspace, adapter.id, "peft", tmp_path / "joined").path)
    merged = Path(adapters.export(workspace, adapter.id, "merged", tmp_path / "merged.gguf").path)
    assert tokens(exact, ids, peft) == tokens(merged, ids) == expected
    assert expected not in (tokens(exact, ids), tokens(exact, ids, workspace.adapters / adapter.folder))
    # Its GGUF form is in Q8_0, whose rounding a random network soon makes much of.
    assert tokens(model, ids, peft)[:4] == expected[:4]
    assert "Learned from nobody" in (peft / "LICENCE.txt").read_text()
    back = adapters.bring_in(workspace, peft, "Joined")
    assert back.manifest["task_base"] is None
    ollama = Path(adapters.export(workspace, adapter.id, "ollama", tmp_path / "ollama").path)
    assert 'LICENSE """Learned from nobody.' in (ollama / "Modelfile").read_text()


def in_go(template: str, turns: Sequence[tuple[str, str]]) -> str:
    """What Ollama's template engine makes of a conversation, for the few words of it that are used.

    As Ollama does, a system turn is given as .System as well as among the messages.
    """
    own, usual, user, answer = re.fullmatch(
        r"\{\{ if \.System \}\}(.*)\{\{ else \}\}(.*?)\{\{ end \}\}"
        r'\{\{ range \.Messages \}\}\{\{ if eq \.Role "user" \}\}(.*)\{\{ else if eq \.Role "assistant" \}\}(.*)'
        r"\{\{ end \}\}\{\{ end \}\}",
        template,
        re.S,
    ).groups()  # type: ignore[union-attr]
    parts = {"user": user, "assistant": answer, "system": ""}
    system = own.replace("{{ .System }}", turns[0][1]) if turns[0][0] == "system" else usual
    return system + "".join(parts[role].replace("{{ .Content }}", content) for role, content in turns)


@pytest.mark.parametrize("which", ["tiny", "embedded"])
def test_ollama_s_template_gives_the_very_prompt_of_the_renderer(
    workspace: Workspace, model: Path, tmp_path: Path, which: str
) -> None:
    if which == "embedded":
        from app.device.exporting import modelfile

        tokeniser = open_tokeniser(find_model("smollm2-135m", tmp_path))
        text = modelfile(tokeniser, "model.gguf", "adapter.gguf")
    else:
        tokeniser = open_tokeniser(find_model(str(model), tmp_path))
        made = adapters.export(workspace, personal_adapter(workspace, model).id, "ollama", tmp_path / "out")
        text = (tmp_path / "out" / "Modelfile").read_text()
        assert {path.name for path in Path(made.path).iterdir()} == {"Modelfile", model.name, "adapter.gguf"}
    assert text.startswith("FROM ./")
    assert "\nADAPTER ./adapter.gguf\n" in text
    assert 'PARAMETER stop "<|im_end|>"' in text
    template = text.split('TEMPLATE """')[1].split('"""')[0]
    for talk in (["Hello"], ["Hello", "And you?", "Fine  \n"]):
        said = [("user" if number % 2 == 0 else "assistant", content) for number, content in enumerate(talk)]
        for turns in (said, [("system", "Answer in one word."), *said]):
            messages = [Message(role, content) for role, content in turns]  # type: ignore[arg-type]
            assert in_go(template, turns) == tokeniser.decode(render_prompt(tokeniser, messages))


def test_ollama_keeps_the_model_s_own_beginning_where_its_template_takes_no_system_turn(
    workspace: Workspace, model: Path, tmp_path: Path
) -> None:
    from app.device.exporting import modelfile

    class Stern(GgufTokeniser):
        chat_template = CHAT_TEMPLATE.replace(
            "{% for", "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}{% for", 1
        )

    text = modelfile(Stern(model), "model.gguf", "adapter.gguf")
    assert ".System" not in text
    assert 'TEMPLATE """{{ range .Messages }}' in text


@pytest.mark.parametrize("form", adapters.FORMS)
@pytest.mark.parametrize("name", ["peft", "made"])
def test_an_export_may_have_any_name(
    workspace: Workspace, adapter: Adapter, tmp_path: Path, form: Form, name: str
) -> None:
    assert Path(adapters.export(workspace, adapter.id, form, tmp_path / name).path) == tmp_path / name
    assert (tmp_path / name).exists()


def test_an_export_never_replaces_anything_and_needs_a_place(
    workspace: Workspace, adapter: Adapter, tmp_path: Path
) -> None:
    first, second = (adapters.export(workspace, adapter.id, "gguf").path for _ in range(2))
    assert Path(second).name == "mine-1-gguf-2.gguf" != Path(first).name
    with pytest.raises(BadInput, match="is there already"):
        adapters.export(workspace, adapter.id, "gguf", first)
    with pytest.raises(BadInput, match="cannot be written"):
        adapters.export(workspace, adapter.id, "peft", tmp_path / "no" / "such")
    with pytest.raises(NotFound):
        adapters.export(workspace, 9, "peft")


@pytest.mark.parametrize("form", ["peft", "gguf", "merged", "ollama"])
def test_an_export_that_the_disk_will_not_have_is_a_sentence_and_leaves_nothing(
    workspace: Workspace, adapter: Adapter, tmp_path: Path, form: Form
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    # An open store has the room that it needs already.
    with workspace.store(), largest_file(5_000), pytest.raises(DiskFull, match=r"cannot be written in .*ulimit"):
        adapters.export(workspace, adapter.id, form, out / "mine")
    assert list(out.iterdir()) == []
    adapters.export(workspace, adapter.id, form, out / "mine")


def test_an_adapter_that_cannot_be_brought_in_is_a_sentence_and_leaves_nothing(
    workspace: Workspace, adapter: Adapter, tmp_path: Path
) -> None:
    taken = adapters.export(workspace, adapter.id, "peft", tmp_path / "taken").path
    adapters.delete(workspace, adapter.id)
    with largest_file(5_000), pytest.raises(DiskFull, match="The adapter cannot be written"):
        adapters.bring_in(workspace, taken)
    assert list(workspace.adapters.iterdir()) == []
    adapters.bring_in(workspace, taken)


@pytest.mark.parametrize("form", ["merged", "ollama"])
def test_a_form_with_the_model_needs_a_gguf_model(workspace: Workspace, tmp_path: Path, form: Form) -> None:
    folder = tiny_folder(tmp_path)
    use_model(workspace, str(folder))
    adapter = personal_adapter(workspace, folder)
    with pytest.raises(AdapterRefused, match="needs a GGUF base"):
        adapters.export(workspace, adapter.id, form, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_comes_back_as_it_went(workspace: Workspace, adapter: Adapter, tmp_path: Path) -> None:
    exported = adapters.export(workspace, adapter.id, "peft", tmp_path / "My letters")
    with pytest.raises(AdapterRefused, match="is here already: it is number 1"):
        adapters.bring_in(workspace, exported.path)
    writer = Writer(workspace)
    before = writer.generate("A note", "title", adapter.id, SHORT).text
    adapters.delete(workspace, adapter.id)
    back = adapters.bring_in(workspace, exported.path)
    assert (back.name, back.active, back.job_id, back.training_set_id) == ("My letters", False, None, 1)
    assert writer.generate("A note", "title", back.id, SHORT).text == before
    writer.close()
    elsewhere = open_workspace(tmp_path / "elsewhere")
    use_model(elsewhere, str(tmp_path / "tiny-llama-0.gguf"))
    assert adapters.bring_in(elsewhere, exported.path, "Jo's").training_set_id is None


def test_an_adapter_for_another_base_is_refused(workspace: Workspace, adapter: Adapter, tmp_path: Path) -> None:
    exported = adapters.export(workspace, adapter.id, "peft", tmp_path / "mine")
    use_model(workspace, str(tiny_gguf(tmp_path, seed=1)))
    with pytest.raises(AdapterRefused, match="trained on tiny-llama-0 and not on this tiny-llama-1"):
        adapters.bring_in(workspace, exported.path)
    with pytest.raises(AdapterRefused, match="trained on tiny-llama-0 and not on tiny-llama-1"):
        adapters.export(workspace, adapter.id, "gguf")
    assert [path.name for path in workspace.adapters.iterdir()] == [adapter.folder]


class Bomb:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[Path, ...]]:
        return (Path.mkdir, (Path("/nowhere/boom"),))


def test_a_pickle_in_the_folder_is_neither_copied_nor_loaded(
    workspace: Workspace, adapter: Adapter, tmp_path: Path
) -> None:
    exported = Path(adapters.export(workspace, adapter.id, "peft", tmp_path / "mine").path)
    adapters.delete(workspace, adapter.id)
    (exported / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    (exported / "evil.py").write_text("raise SystemExit")
    back = adapters.bring_in(workspace, exported)
    names = {path.name for path in (workspace.adapters / back.folder).iterdir()}
    assert names == {"adapter_model.safetensors", "adapter_config.json", "adapter.gguf", "manifest.json"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"examples": "<b>many</b>"}, "not as this program writes it"),
        ({"files": {"../../store.db": "0" * 64}}, "should hold"),
        ({"files": {}}, "names no weights"),
        ({"format": 99}, "manifest format 99"),
        ({"base_hash": "0" * 64}, "trained on tiny-llama-0"),
    ],
)
def test_a_manifest_that_was_changed_is_refused_and_leaves_nothing(
    workspace: Workspace, adapter: Adapter, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    exported = Path(adapters.export(workspace, adapter.id, "peft", tmp_path / "mine").path)
    adapters.delete(workspace, adapter.id)
    manifest = exported / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(AdapterRefused, match=says):
        adapters.bring_in(workspace, exported)
    assert list(workspace.adapters.iterdir()) == []
    assert adapters.listing(workspace) == ()


def test_a_folder_that_is_no_adapter_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "tiny-llama-0.gguf", tmp_path / "empty"):
        with pytest.raises(AdapterRefused):
            adapters.bring_in(workspace, path)
