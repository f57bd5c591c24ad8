"""The command line as a person meets it: exit codes, sentences, and how little it loads."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.cli.arguments import build_parser
from app.cli.commands import COMMANDS
from app.cli.display import SHOW, _cut_lines, _verdict_lines
from app.cli.shown_history import show_delete
from app.pipeline.models import use_model
from app.pipeline.workspace import open_workspace
from personal_store import generations, records
from personal_store.ledger import append_upload
from personal_store.nouns import NewRecord
from tests.pipeline.support import BAD, GOOD, add_pairs, personal_adapter, workspace_with
from tests.tiny import tiny_gguf

HEAVY = ("torch", "transformers", "peft", "gradio", "llama_cpp", "sentence_transformers", "uvicorn", "fastapi")


def run(capsys: pytest.CaptureFixture[str], data_dir: Path, *arguments: str, code: int = 0) -> Any:
    """What a command prints as JSON."""
    assert main([*arguments, "--data-dir", str(data_dir), "--json"]) == code
    printed = capsys.readouterr()
    return json.loads(printed.out) if code == 0 else printed.err


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.csv"
    rows = [f"2024-01-{day:02},A long note about day number {day},Day {day}" for day in range(1, 8)]
    path.write_text("\n".join(["date,abstract,title", *rows, "2024-02-01,,Empty"]))
    return path


def test_where_no_pair_came_it_is_said_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    SHOW["augment"]({"records": 2, "pairs": 0, "kept": 0, "failed": 10, "rejected": {"length": 0}})
    said = capsys.readouterr().out
    assert said.startswith("No new pairs from 2 records; 10 samples came to nothing. Share more records,")
    assert "cdcda review" not in said


def test_the_way_to_the_payload(capsys: pytest.CaptureFixture[str], data_dir: Path, history: Path) -> None:
    imported = run(capsys, data_dir, "import", str(history))
    assert imported == {
        "imported": 7,
        "duplicates": 0,
        "near": [],
        "rejected": [{"line": 9, "reason": "the input (abstract) is empty"}],
        "unread_dates": 0,
    }
    found = run(capsys, data_dir, "records", "number 3")
    assert [record["output"] for record in found["records"]] == ["Day 3"]
    shared = run(capsys, data_dir, "share", "--ratio", "0.5", "--strategy", "newest")
    assert (len(shared["shared"]), shared["total"]) == (4, 7)
    payload = run(capsys, data_dir, "payload", "--k", "2")
    assert set(payload) >= {"destination", "bytes", "sha256", "body"}
    assert [record["output"] for record in payload["body"]["records"]] == ["Day 3", "Day 4", "Day 5", "Day 6"]
    assert run(capsys, data_dir, "share", "--none") == {"shared": [], "total": 7}
    assert run(capsys, data_dir, "ledger") == {"uploads": [], "broken_line": None}


def test_reviewing(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    workspace, ids = workspace_with(data_dir, 2)
    (good,), (bad,) = add_pairs(workspace, ids[:1], GOOD), add_pairs(workspace, ids[1:], BAD)
    assert run(capsys, data_dir, "review", "--reject", str(good)) == {"rejected": [good]}
    assert run(capsys, data_dir, "review", "--edit", str(bad), "--output", "Mine") == {"edited": bad}
    listed = run(capsys, data_dir, "review", "--list")["pairs"]
    assert [(pair["kept"], pair["decision"], pair["output"]) for pair in listed] == [
        (False, "rejected", f"Synthetic {ids[0]}"),
        (True, "edited", "Mine"),
    ]
    assert run(capsys, data_dir, "review", "--undo") == {"undone": [bad], "kind": "edited"}
    listed = run(capsys, data_dir, "review", "--entailment", "0.05", "--rouge-l", "1", "--longest", "9")
    assert listed["pairs"][1]["verdict"]["kept"]
    taken_back = run(capsys, data_dir, "review", "--undo")
    assert (taken_back["kind"], taken_back["thresholds"]["entailment"]) == ("thresholds", 0.7)


def test_pairs_are_listed_and_decided_by_a_score_in_one_step(
    capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    workspace, ids = workspace_with(data_dir, 3)
    good, bad = add_pairs(workspace, ids[:2], GOOD), add_pairs(workspace, ids[2:], BAD)
    below = ["--score", "entailment", "--at-most", "0.5"]
    assert [pair["id"] for pair in run(capsys, data_dir, "review", *below)["pairs"]] == list(bad)
    run(capsys, data_dir, "review", "--reject", str(good[0]))
    assert run(capsys, data_dir, "review", "--reject", "--score", "rouge_l", "--at-least", "0") == {
        "rejected": [good[1], *bad]
    }
    assert run(capsys, data_dir, "review", "--undo")["undone"] == [good[1], *bad]
    assert run(capsys, data_dir, "review", "--accept", *below) == {"accepted": list(bad)}
    assert run(capsys, data_dir, "review", "--accept", *below) == {"accepted": []}
    listed = run(capsys, data_dir, "review")["pairs"]
    assert [pair["decision"] for pair in listed] == ["rejected", None, "accepted"]


def test_an_adapter_s_whole_life(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_gguf(tmp_path)
    monkeypatch.setenv("CDCDA_DEVICE_MODEL", str(model))
    id = str(personal_adapter(open_workspace(data_dir), model).id)
    assert run(capsys, data_dir, "adapters", "use", id)["adapters"][0]["active"]
    with monkeypatch.context() as elsewhere:
        for other in (tiny_gguf(tmp_path, seed=1), tmp_path / "gone.gguf"):
            elsewhere.setenv("CDCDA_DEVICE_MODEL", str(other))
            assert not run(capsys, data_dir, "adapters")["adapters"][0]["active"]
    assert run(capsys, data_dir, "adapters", "rename", id, "Letters")["adapters"][0]["name"] == "Letters"
    assert run(capsys, data_dir, "adapters", "note", id, "for Jo")["adapters"][0]["note"] == "for Jo"
    assert main(["adapters", "--data-dir", str(data_dir)]) == 0
    assert "for Jo" in capsys.readouterr().out
    out = str(tmp_path / "out")
    assert run(capsys, data_dir, "adapters", "export", id, "--out", out)["exported"]["path"] == out
    assert run(capsys, data_dir, "adapters", "export", id, "--as", "gguf")["exported"]["path"].endswith(".gguf")
    assert run(capsys, data_dir, "adapters", "delete", id)["deleted"]["name"] == "Letters"
    assert run(capsys, data_dir, "adapters") == {"adapters": []}
    of_any_bytes = Path(out).rename(tmp_path / "caf\udce9")
    assert main(["adapters", "import", str(of_any_bytes), "--name", "Back", "--data-dir", str(data_dir)]) == 0
    assert capsys.readouterr().out == "Adapter 2, Back; switch it on with `cdcda adapters use 2`.\n"


def test_the_exact_bytes_of_a_payload_can_be_looked_at_with_any_program(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path
) -> None:
    _, ids = workspace_with(data_dir, 2)
    run(capsys, data_dir, "add", "--task", "title", "--input", "Straße\r\nzwei", "--output", "😀")
    run(capsys, data_dir, "share", "--ids", f"{ids[0]},3")
    told = run(capsys, data_dir, "payload", "--save", str(tmp_path / "body"))
    saved = (tmp_path / "body").read_bytes()
    assert (hashlib.sha256(saved).hexdigest(), len(saved)) == (told["sha256"], told["bytes"])
    assert (tmp_path / "body").stat().st_mode & 0o777 == 0o600


def test_forgetting_names_the_archives_that_still_hold_it(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    _, ids = workspace_with(data_dir, 2)
    exports = data_dir / "exports"
    exports.mkdir()
    kept = exports / "cdcda-before.zip"
    run(capsys, data_dir, "export", str(kept))
    assert run(capsys, data_dir, "forget", str(ids[0]))["archives"] == [str(kept)]
    assert main(["forget", str(ids[1]), "--data-dir", str(data_dir)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Archives hold what they held when they were exported" in said
    assert run(capsys, data_dir, "forget", "--everything", "--yes")["archives"] == [str(kept)]
    assert kept.exists()


def test_forgetting(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    _, ids = workspace_with(data_dir, 2)
    (forgotten,) = run(capsys, data_dir, "forget", str(ids[0]))["forgotten"]
    assert (forgotten["record_id"], forgotten["pairs"], forgotten["erased"]) == (ids[0], 0, True)
    assert f"There is no record {ids[0]}" in run(capsys, data_dir, "forget", str(ids[0]), code=1)


@pytest.mark.parametrize(
    ("deleted", "stale", "says"),
    [
        ([5], [1], "Adapter 1 learned from it and is stale now; `cdcda train` makes one without it."),
        ([5, 6], [1, 2], "Adapters 1, 2 learned from them and are stale now; `cdcda train` makes one without them."),
    ],
)
def test_adapters_that_learned_from_what_is_deleted_are_said_as_many_as_they_are(
    capsys: pytest.CaptureFixture[str], deleted: list[int], stale: list[int], says: str
) -> None:
    show_delete({"deleted": deleted, "stale": stale})
    assert capsys.readouterr().out.splitlines()[1] == says


def test_editing_by_hand(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    task = run(capsys, data_dir, "tasks", "--make", "mood", "--template", "Mood? {input}", "--answer", "label",
               "--labels", "good,bad")["tasks"][-1]  # fmt: skip
    assert (task["name"], task["labels"], task["metric"]) == ("mood", ["good", "bad"], "accuracy")
    texts = ("--input", "It rained.", "--output", "bad")
    added = run(capsys, data_dir, "add", "--task", "mood", *texts, "--date", "2024-05-31")["added"]
    assert (added["task"], added["created_at"], added["shared"]) == ("mood", "2024-05-31", False)
    id = str(added["id"])
    assert run(capsys, data_dir, "edit", id, "--output", "good") == {"edited": [added["id"]]}
    assert run(capsys, data_dir, "delete", id) == {"deleted": [added["id"]], "stale": []}
    kinds = [run(capsys, data_dir, "undo")["undone"] for _ in range(4)]
    assert kinds == ["deleted", "edited", "added", None]
    assert run(capsys, data_dir, "tasks", "--delete", "mood")["tasks"][-1]["name"] != "mood"


def test_a_preview_imports_nothing_and_a_report_lists_what_was_left_out(
    capsys: pytest.CaptureFixture[str], data_dir: Path, history: Path, tmp_path: Path
) -> None:
    preview = run(capsys, data_dir, "import", str(history), "--preview")["preview"]
    assert (preview["usable"], preview["mapping"]["input"]) == (7, "abstract")
    assert run(capsys, data_dir, "records")["total"] == 0
    run(capsys, data_dir, "import", str(history), "--report", str(tmp_path / "report.csv"))
    assert (tmp_path / "report.csv").read_text() == "line,reason\n9,the input (abstract) is empty\n"
    assert (tmp_path / "report.csv").stat().st_mode & 0o777 == 0o600


def test_an_import_says_how_many_dates_it_could_not_read(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "history.csv"
    path.write_text("date,abstract,title\nlast week,A long note,A note\n")
    for options in (["--preview"], []):
        assert main(["import", str(path), *options, "--data-dir", str(data_dir)]) == 0
        assert "1 date could not be read; that record counts as newest." in capsys.readouterr().out.replace("\n", " ")


def test_something_personal_is_shared_with_consent_alone(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    texts = ("--input", "Write to jo@example.org.", "--output", "A title")
    id = str(run(capsys, data_dir, "add", "--task", "title", *texts)["added"]["id"])
    assert "jo@example.org" in run(capsys, data_dir, "share", "--ids", id, code=1)
    run(capsys, data_dir, "share", "--ids", id, "--redacted")
    (found,) = run(capsys, data_dir, "records", "--sensitive")["records"]
    assert (found["findings"], found["shared_as"], found["sent"]) == (["e-mail address"], "redacted", None)
    payload = run(capsys, data_dir, "payload", "--prices", "1,2")
    assert payload["body"]["records"][0]["input"] == "Write to [e-mail address 1]."
    assert payload["estimate"]["cost"] == 0
    (confirmed,) = run(capsys, data_dir, "share", "--ids", id, "--confirm")["confirmed"]
    assert confirmed == {"record": int(id), "found": [["e-mail address", "jo@example.org"]]}
    assert main(["share", "--ids", id, "--confirm", "--data-dir", str(data_dir)]) == 0
    assert "with what looks personal in it: e-mail address 'jo@example.org'" in capsys.readouterr().out
    assert run(capsys, data_dir, "payload")["body"]["records"][0]["input"] == "Write to jo@example.org."


def test_everything_out_back_and_gone(
    capsys: pytest.CaptureFixture[str], data_dir: Path, history: Path, tmp_path: Path
) -> None:
    run(capsys, data_dir, "import", str(history))
    before = run(capsys, data_dir, "records")
    run(capsys, data_dir, "export", str(tmp_path / "all.zip"))
    assert "repeat it with --yes" in run(capsys, data_dir, "forget", "--everything", code=2)
    assert run(capsys, data_dir, "forget", "--everything", "--yes") == {
        "everything": True,
        "erased": True,
        "archives": [],
    }
    assert run(capsys, data_dir, "records")["total"] == 0
    run(capsys, data_dir, "restore", str(tmp_path / "all.zip"))
    assert run(capsys, data_dir, "records") == before


def test_the_ledger_is_exported_and_the_ways_out_are_listed(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path
) -> None:
    workspace, ids = workspace_with(data_dir, 1)
    with workspace.store() as store:
        for outcome in ("not sent: refused", "sent"):
            append_upload(store, "http://127.0.0.1/v1/augment", ids, 5, "a" * 64, outcome)
    run(capsys, data_dir, "ledger", "--export", str(tmp_path / "ledger.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [(line["attempt"], line["outcome"]) for line in lines] == [(1, "not sent: refused"), (2, "sent")]
    assert lines[1]["previous_hash"] == lines[0]["line_hash"]
    assert run(capsys, data_dir, "records")["records"][0]["sent"]["times"] == 1
    assert len(run(capsys, data_dir, "network")["ways_out"]) >= 4


def test_the_estimate_says_whether_a_training_fits_and_starts_none(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path
) -> None:
    workspace_with(data_dir, 8)
    asked = ["train", "--estimate", "--model", str(tiny_gguf(tmp_path)), "--data-dir", str(data_dir)]
    found = run(capsys, data_dir, *asked)
    assert found["memory"]["peak_mb"] == pytest.approx(sum(p["megabytes"] for p in found["memory"]["parts"]), abs=0.1)
    assert found["fit"] in ("fits", "tight", "does not fit")
    assert (found["examples"], found["held_out"], found["cut"], found["seconds"]) == (7, 1, 0, None)
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert "7 examples of the task title, 1 held out" in shown
    assert found["words"][0].split(":")[0] in shown
    assert "cdcda train --probe" in shown
    assert run(capsys, data_dir, "jobs") == {"jobs": []}


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Have the next command find these bytes in its standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_what_is_piped_in_is_read_as_a_file_would_be(
    capsys: pytest.CaptureFixture[str], data_dir: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    piped(monkeypatch, "title,body\r\nÉté à Paris,Il fait très chaud\r\n".encode(encoding))
    assert run(capsys, data_dir, "import", "-")["imported"] == 1
    (record,) = run(capsys, data_dir, "records")["records"]
    assert (record["input"], record["output"], record["source"]) == ("Il fait très chaud", "Été à Paris", "pasted text")


def test_a_text_to_write_from_may_be_piped_in_in_any_encoding(
    capsys: pytest.CaptureFixture[str], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, "Grüße\r\naus Köln\r\n".encode("latin-1"))
    asked = run(capsys, data_dir, "generate", "-", "--max-tokens", "2")["generation"]
    with open_workspace(data_dir).store() as store:
        assert generations.get_generation(store, asked).prompt.strip() == "Grüße\naus Köln"


def test_what_is_piped_in_and_is_no_text_is_refused(
    capsys: pytest.CaptureFixture[str], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("import", "generate", "compare"):
        piped(monkeypatch, b"PK\x03\x04\x00\x00")
        assert "standard input is not a text file" in run(capsys, data_dir, command, "-", code=1)


def test_a_file_s_name_may_be_of_any_bytes(capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.csv"
    path.write_text("title,body\nSummer,It is very warm\n")
    run(capsys, data_dir, "import", str(path))
    assert run(capsys, data_dir, "records")["records"][0]["source"] == "caf.csv"


def test_a_terminal_without_a_record_s_letters_gets_the_others(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main(["add", "--input", "Été", "--output", "夏", "--data-dir", str(data_dir)])
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="latin-1", write_through=True))
    assert main(["records", "--data-dir", str(data_dir)]) == 0
    assert "Été" in shown.getvalue().decode("latin-1")


def test_what_is_too_long_to_be_learned_or_asked_whole_is_said(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path
) -> None:
    workspace, _ = workspace_with(data_dir, 1)
    with workspace.store() as store:
        records.add_records(store, [NewRecord("title", "long " * 400, "Long", "2024-01-01", "test")])
    use_model(workspace, str(tiny_gguf(tmp_path)))
    capsys.readouterr()
    assert main(["train", "--show-rows", "2", "--data-dir", str(data_dir)]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if "Given:" in line]
    assert [", cut to the longest that is learned. Given:" in line for line in heads] == [True, False]
    assert main(["generate", "word " * 4000, "--max-tokens", "2", "--data-dir", str(data_dir)]) == 0
    assert capsys.readouterr().err.rstrip().endswith("no room for the end of your text]")
    assert _cut_lines({"cut": 2, "max_tokens": 512}) == [
        "2 examples were longer than the 512 tokens learned at once; the end of the input was left out."
    ]
    assert _cut_lines({"cut": 0, "max_tokens": 512}) == _cut_lines({}) == []
    assert _verdict_lines({"scores": {}, "unjudged": "It could not be judged."}) == ["It could not be judged."]
    assert _verdict_lines({"scores": {}, "unjudged": None}) == _verdict_lines({"scores": {}}) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["import", "nowhere.csv"], 1, "There is no file nowhere.csv"),
        (["import", "{history}", "--input", "body"], 1, "There is no column 'body'"),
        (["import", "{history}", "--task", "poem"], 2, "There is no task 'poem'"),
        (["payload"], 1, "No record is shared"),
        (["add", "--task", "title", "--input", " ", "--output", "b"], 2, "The input has 1 to"),
        (["edit", "3"], 2, "give one of them"),
        (["edit", "3,4", "--output", "x"], 2, "give --task alone"),
        (["delete", "3"], 1, "There is no record 3"),
        (["tasks", "--make", "mood"], 2, "{input} once"),
        (["tasks", "--delete", "mood"], 1, "There is no task 'mood' of your own"),
        (["restore", "nowhere.zip"], 1, "cannot be read"),
        (["export", "/nowhere/all.zip"], 1, "cannot be written"),
        (["augment", "--approve", "0" * 64], 1, "No record is shared"),
        (["share", "--ratio", "7"], 2, "between 0 and 1"),
        (["share", "--ids", "999"], 1, "There is no record 999"),
        (["train"], 1, "There are no records"),
        (["train", "--model", "/nowhere.gguf"], 1, "There is no model"),
        (["train", "--estimate"], 1, "There are no records"),
        (["train", "--resume"], 1, "no unfinished training"),
        (["generate", "hello", "--adapter", "latest"], 1, "There is no adapter yet"),
        (["generate", "  "], 2, "There is no text"),
        (["compare", "hello"], 1, "There is no adapter yet"),
        (["compare", "hello", "--adapter", "none"], 2, "needs an adapter"),
        (["adapters", "--use", "5"], 1, "There is no adapter 5"),
        (["adapters", "use", "5"], 1, "There is no adapter 5"),
        (["adapters", "--use", "none", "use", "5"], 2, "--use is for"),
        (["adapters", "rename", "5", "x"], 1, "There is no adapter 5"),
        (["adapters", "export", "5"], 1, "There is no adapter 5"),
        (["adapters", "import", "/nowhere"], 1, "should be the folder of an adapter"),
        (["jobs", "--stop", "5"], 1, "There is no job 5"),
        (["models", "use", "nothing"], 1, "There is no model"),
        (["models", "pull", "nothing"], 1, "The catalogue has no model"),
        (["review", "--accept", "5"], 1, "There is no pair 5"),
        (["review", "--output", "text"], 2, "--edit"),
        (["review", "--accept"], 2, "ids of pairs, or a score"),
        (["review", "--reject", "5", "--score", "rouge_l", "--at-most", "0"], 2, "ids of pairs, or a score"),
        (["review", "--accept", "--score", "rouge_l"], 2, "one bound"),
        (["review", "--at-most", "0.5"], 2, "one bound"),
        (["review", "--score", "beauty", "--at-most", "0.5"], 2, "There is no score"),
        (["review", "--undo", "--score", "rouge_l", "--at-most", "0.5"], 2, "leave it out"),
        (["payload", "--cloud-url", "nonsense"], 2, "Expected an address"),
        (["forget", "9" * 20], 2, "at most 18 digits"),
        (["share", "--ids", "1," + "9" * 20], 2, "at most 18 digits"),
        (["records", "--offset", "-" + "9" * 20], 2, "at most 18 digits"),
        (["adapters", "show", "9" * 20], 2, "at most 18 digits"),
        (["add", "--input", "caf\udce9", "--output", "x"], 2, "not UTF-8"),
        (["records", "caf\udce9"], 2, "not UTF-8"),
        (["generate", "caf\udce9"], 2, "not UTF-8"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    capsys: pytest.CaptureFixture[str], data_dir: Path, history: Path, arguments: list[str], code: int, says: str
) -> None:
    error = run(capsys, data_dir, *(part.format(history=history) for part in arguments), code=code)
    assert error.startswith("cdcda: ")
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["share", "--ids", "a"], ["train", "--epochs", "0"], ["generate"]]
)
def test_bad_usage_exits_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: cdcda" in capsys.readouterr().err


def test_another_hash_is_refused_and_nothing_is_sent(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    workspace, ids = workspace_with(data_dir, 2)
    run(capsys, data_dir, "share", "--ids", f"{ids[0]},{ids[1]}")
    error = run(capsys, data_dir, "augment", "--approve", "0" * 64, code=1)
    assert "approve what is shown there" in error
    assert run(capsys, data_dir, "ledger")["uploads"] == []
    assert run(capsys, data_dir, "jobs") == {"jobs": []}
    assert workspace.data_dir == data_dir


def test_a_data_folder_that_cannot_be_made_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot be made" in run(capsys, tmp_path / "file" / "data", "share", code=2)


def test_the_data_folder_is_private(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "new")
    with workspace.store():
        pass
    assert (workspace.data_dir.stat().st_mode & 0o777, workspace.store_path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_every_command_is_done_and_shown() -> None:
    actions = next(action for action in build_parser()._actions if action.choices and action.dest == "command")
    assert set(actions.choices or ()) == set(COMMANDS) == set(SHOW)


@pytest.mark.parametrize(
    "arguments", [["share"], ["records"], ["payload"], ["review"], ["jobs"], ["ledger"], ["models"]]
)
def test_light_commands_load_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from app.cli import main\n"
        f"main({[*arguments, '--data-dir', str(tmp_path)]!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_help_is_there_at_once() -> None:
    script = (
        "import sys\nfrom app.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n"
        f"    print([name for name in {(*HEAVY, 'requests', 'sqlite_utils', 'rich')!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["records", "ledger", "models", "review", "jobs", "adapters", "share", "offline"])
def test_people_get_tables(capsys: pytest.CaptureFixture[str], data_dir: Path, command: str) -> None:
    workspace, ids = workspace_with(data_dir, 2)
    add_pairs(workspace, ids, BAD)
    assert main([command, "--data-dir", str(data_dir)]) == 0
    assert capsys.readouterr().out.strip()


def test_a_terminal_is_not_told_what_to_do_by_a_record(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("abstract,title\nA long text \x1b[2J that clears,\x1b]0;owned\x07 [bold]short\n")
    data = tmp_path / "data"
    assert main(["import", str(path), "--data-dir", str(data)]) == 0
    assert main(["records", "--data-dir", str(data)]) == 0
    assert main(["share", "--ids", "1", "--data-dir", str(data)]) == 0
    assert main(["payload", "--data-dir", str(data)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[bold]" in out


def test_a_reader_that_goes_away_is_no_crash(data_dir: Path) -> None:
    workspace_with(data_dir, 200)
    command = [sys.executable, "-m", "app.cli", "records", "--limit", "200", "--json", "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
