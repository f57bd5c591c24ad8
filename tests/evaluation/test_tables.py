"""Tables, figure and case study from stored results."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.evaluation.desks import write_json
from app.evaluation.figures import draw_figure, drawn_users, points
from app.evaluation.measured import measure_run, read_measurements
from app.evaluation.plans import Unit, open_run, people_of
from app.evaluation.tables import Scores, tables
from tests.evaluation.support import plan_for, tags, titles

DOCS = Path(__file__).parents[2] / "docs"
GOLDS = {"u0": "red boats on rivers", "u1": "blue boats on lakes"}


def store(out: Path, unit: Unit, answer: str, device: str = "small", **facts: Any) -> None:
    """A result with one question."""
    answers = [{"id": f"{unit.user}q", "answer": answer, "gold": GOLDS[unit.user]}]
    told = {"records": 4, "device": device, "cloud": "large", "seconds": 1.0, "facts": facts}
    write_json(out / unit.file, {"unit": unit.__dict__, "answers": answers, **told})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """cdcda answers everything at full share, half of it at half; direct knows half the words; copy none."""
    folder = tmp_path / "out"
    plan = plan_for(tmp_path, titles(tmp_path / "data"), users=2)
    open_run(plan, people_of(plan), folder)
    for user, gold in GOLDS.items():
        half = " ".join(gold.split()[:2])
        store(folder, Unit(user, "cdcda", 1.0, 5, 0), gold, written=20, kept=5)
        store(folder, Unit(user, "cdcda", 1.0, 1, 0), half, written=4, kept=2)
        store(folder, Unit(user, "cdcda", 0.5, 5, 0), half if user == "u0" else gold, written=10, kept=2)
        store(folder, Unit(user, "cdcda-rs", 1.0, 5, 0), half, written=20, kept=5)
        store(folder, Unit(user, "direct", None, None, 0), half)
        store(folder, Unit(user, "copy", None, None, None), "nothing" if user == "u0" else "")
    return folder


TABLE_1 = """\
**Table 1: all methods (share ratio 1, k = 5)**

| Method | ROUGE-1 | ROUGE-L | Gain of CDCDA-PLM (ROUGE-1) | Unusable |
| --- | --- | --- | --- | --- |
| copy of the input | 0.000 [0.000, 0.000] | 0.000 [0.000, 0.000] | +1.000 [+1.000, +1.000] | 1 |
| Direct-FT | 0.667 [0.667, 0.667] | 0.667 [0.667, 0.667] | +0.333 [+0.333, +0.333] | 0 |
| CDCDA-PLM | 1.000 [1.000, 1.000] | 1.000 [1.000, 1.000] |  | 0 |
| CDCDA-PLM, RS | 0.667 [0.667, 0.667] | 0.667 [0.667, 0.667] | +0.333 [+0.333, +0.333] | 0 |

LaMP_5, 2 users, 2 questions, seed 0; on the device small, in the cloud large. In brackets: 95 % intervals, paired \
bootstrap over users, 2000 draws."""

TABLE_3_ROWS = [
    ("Direct-FT", "0.667 [0.667, 0.667]"),
    ("CDCDA-PLM, 0.5", "0.833 [0.667, 1.000]"),
    ("CDCDA-PLM, 1", "1.000 [1.000, 1.000]"),
]

PAIRS = """\
**What the filters kept**

| Share ratio | k | Users | Pairs written | Kept | of those written | of k x history |
| --- | --- | --- | --- | --- | --- | --- |
| 0.5 | 5 | 2 | 20 | 4 | 20.0% | 10.0% |
| 1 | 1 | 2 | 8 | 4 | 50.0% | 50.0% |
| 1 | 5 | 2 | 40 | 10 | 25.0% | 25.0% |

Thresholds: entailment 0.7, rouge_l 0.8, shortest 0.5, longest 2."""


def test_the_tables_are_these(out: Path) -> None:
    first, second, third, ks, pairs = tables(Scores(measure_run(out, bert=False)))
    assert first.markdown() == TABLE_1
    assert [row[:2] for row in ks.rows] == [
        ("CDCDA-PLM, 1", "0.667 [0.667, 0.667]"),
        ("CDCDA-PLM, 5", "1.000 [1.000, 1.000]"),
    ]
    assert [row[0] for row in second.rows] == ["CDCDA-PLM", "CDCDA-PLM, RS", "Direct-FT"]
    assert [row[:2] for row in third.rows] == TABLE_3_ROWS
    assert pairs.markdown() == PAIRS


def test_users_without_a_result_in_a_row_are_left_out_and_named(out: Path) -> None:
    (out / "units" / "u1" / "direct-seed0.json").unlink()
    first, *_ = tables(Scores(measure_run(out, bert=False)))
    assert "1 user, 1 question, seed 0;" in first.notes[0]
    assert first.notes[1] == "Left out, because a row has no result of theirs yet: u1."


def test_a_table_that_no_user_has_every_row_of_is_left_out_and_the_others_are_printed(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (out / "units" / "u0" / "copy.json").unlink()
    (out / "units" / "u1" / "cdcda-rs-s1-k5-seed0.json").unlink()
    first, second, third, ks, _ = tables(Scores(measure_run(out, bert=False)))
    assert first.markdown() == (
        "**Table 1: all methods (share ratio 1, k = 5)**\n\nLeft out: no user has a result in each of its rows, so"
        " these cannot be compared; run `cdcda lamp run` for the same users with every method and setting."
    )
    assert [len(table.rows) for table in (second, third, ks)] == [3, 3, 2]
    scores = tmp_path / "scores.json"
    bare = ["--no-bertscore", "--data-dir", str(tmp_path / "home")]
    assert main(["lamp", "table", str(out), "--scores", str(scores), *bare]) == 0
    assert second.markdown() in capsys.readouterr().out
    assert scores.is_file()


def test_the_lines_of_the_figure_are_of_the_same_users(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in (1, 5):
        store(out, Unit("u0", "eda", None, k, 0), "nothing")
        store(out, Unit("u1", "eda", None, k, 0), GOLDS["u1"])
    (out / "units" / "u0" / "cdcda-s1-k1-seed0.json").unlink()
    scores = Scores(measure_run(out, bert=False))
    assert drawn_users(scores) == ("u1",)
    lines = points(scores, ("u1",))
    assert {name: [(k, round(found.value, 3)) for k, found in line] for name, line in lines.items()} == {
        "cdcda": [(1, 0.667), (5, 1.0)],
        "eda": [(1, 1.0), (5, 1.0)],
    }
    figure = tmp_path / "k.svg"
    assert draw_figure(scores, figure)
    (out / "units" / "u1" / "eda-k1-seed0.json").unlink()
    bare = ["--no-bertscore", "--data-dir", str(tmp_path / "home")]
    assert main(["lamp", "table", str(out), "--figure", str(tmp_path / "no.svg"), *bare]) == 0
    assert "no user has a result at each of its points" in capsys.readouterr().out
    assert not (tmp_path / "no.svg").exists()


def without(out: Path, *methods: str) -> None:
    """Takes the results of these methods away."""
    for path in out.glob("units/*/*.json"):
        if json.loads(path.read_text())["unit"]["method"] in methods:
            path.unlink()


def test_without_cdcda_the_others_are_shown_at_their_own_share_and_k(out: Path) -> None:
    without(out, "cdcda", "direct", "copy")
    for user in GOLDS:
        store(out, Unit(user, "eda", None, 5, 0), "red")
        store(out, Unit(user, "eda", None, 1, 0), "blue")
        store(out, Unit(user, "rkd", 1.0, None, 0), "red")
    first, _, ks = tables(Scores(measure_run(out, bert=False)))
    assert [row[0] for row in ks.rows] == ["EDA-FT, 1", "EDA-FT, 5"]
    assert first.title == "Table 1: all methods (share ratio 1, k = 5)"
    assert [row[0] for row in first.rows] == ["EDA-FT", "RKD-FT", "CDCDA-PLM, RS"]
    without(out, "cdcda-rs", "eda")
    first, third = tables(Scores(measure_run(out, bert=False)))
    assert (first.title, third.title) == ("Table 1: all methods (share ratio 1)", "Table 3: share ratio")


def test_without_cdcda_its_neutral_variant_is_what_the_others_are_compared_with(out: Path) -> None:
    without(out, "cdcda", "cdcda-rs")
    first, *_ = tables(Scores(measure_run(out, bert=False)))
    assert first.columns == ("Method", "ROUGE-1", "ROUGE-L", "Unusable")
    for user, gold in GOLDS.items():
        store(out, Unit(user, "cdcda-neutral", 1.0, 1, 0), gold, written=4, kept=1)
    first, third, pairs = tables(Scores(measure_run(out, bert=False)))
    assert first.columns[3] == "Gain of CDCDA-PLM, neutral x (ROUGE-1)"
    assert [(row[0], row[3][:6]) for row in first.rows] == [
        ("copy of the input", "+1.000"),
        ("Direct-FT", "+0.333"),
        ("CDCDA-PLM, neutral x", ""),
    ]
    assert [row[0] for row in third.rows] == ["Direct-FT", "CDCDA-PLM, neutral x, 1"]
    assert pairs.rows == (("1", "1", "2", "8", "2", "25.0%", "25.0%"),)


def test_the_figure_needs_no_share_and_says_where_it_is_not_drawn(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without(out, "cdcda", "cdcda-rs")
    bare = ["--no-bertscore", "--data-dir", str(tmp_path / "home")]
    figure = tmp_path / "k.svg"
    for k, says in ((1, "No figure was drawn"), (5, f"Figure: {figure}")):
        for user in GOLDS:
            store(out, Unit(user, "eda", None, k, 0), "red")
        assert main(["lamp", "table", str(out), "--figure", str(figure), *bare]) == 0
        assert says in capsys.readouterr().out
        assert figure.is_file() == (k == 5)


def test_a_method_that_the_first_table_cannot_show_is_named(out: Path) -> None:
    for user in GOLDS:
        store(out, Unit(user, "eda", None, 3, 0), "red")
    first, *_ = tables(Scores(measure_run(out, bert=False)))
    assert first.notes[-1] == "Not in this table, being run with other share ratios or k alone: EDA-FT."


def test_one_user_has_scores_without_intervals_and_the_note_says_why(out: Path) -> None:
    for path in (out / "units" / "u1").glob("*.json"):
        path.unlink()
    first, *_ = tables(Scores(measure_run(out, bert=False)))
    assert [row[1:4] for row in first.rows][:3] == [
        ("0.000", "0.000", "+1.000"),
        ("0.667", "0.667", "+0.333"),
        ("1.000", "1.000", ""),
    ]
    assert "Without intervals: these are drawn from users" in first.notes[0]
    assert "In brackets" not in first.notes[0]


def test_every_seed_is_in_a_score(out: Path) -> None:
    for user in GOLDS:
        store(out, Unit(user, "cdcda", 1.0, 5, 1), "nothing")
    first, *_ = tables(Scores(measure_run(out, bert=False)))
    row = next(row for row in first.rows if row[0] == "CDCDA-PLM")
    assert row[1] == "0.500 [0.500, 0.500]"
    assert "seeds 0, 1" in first.notes[0]


def test_a_user_with_more_seeds_counts_no_more_than_another(out: Path) -> None:
    without(out, "cdcda", "cdcda-rs", "direct", "copy")
    for user, answer, seeds in (("u0", GOLDS["u0"], (0, 1, 2)), ("u1", "", (0,))):
        store(out, Unit(user, "device", None, None, None), answer)
        for seed in seeds:
            store(out, Unit(user, "cdcda", 1.0, 5, seed), answer)
    first, *_ = tables(Scores(measure_run(out, bert=False)))
    rows = {row[0]: row[1:] for row in first.rows}
    assert [row[0] for row in rows.values()] == ["0.500 [0.000, 1.000]"] * 2
    assert rows["M_device"][2:] == ("+0.000 [+0.000, +0.000]", "1")
    assert rows["CDCDA-PLM"][3] == "1"
    assert "2 users, 2 questions, seeds 0, 1, 2;" in first.notes[0]
    assert first.notes[1] == (
        "Not every row has every seed of every user; a user's seeds are averaged. By row: CDCDA-PLM 0 (2 users),"
        " 1 (1 user), 2 (1 user)."
    )


def test_only_seeds_of_the_rows_are_told(out: Path) -> None:
    for user in GOLDS:
        store(out, Unit(user, "eda", None, 3, 7), "red")
    first, *_ = tables(Scores(measure_run(out, bert=False)))
    assert "2 questions, seed 0; on the device" in first.notes[0]
    assert not [note for note in first.notes if "Not every row" in note]


def test_targets_with_bases_of_their_own_are_in_one_table_which_names_each_base(out: Path) -> None:
    store(out, Unit("u1", "direct", None, None, 0), "red", device="small + another")
    first, *_ = tables(Scores(measure_run(out, bert=False)))
    assert "on the device small or small + another, in the cloud large." in first.notes[0]


def test_bertscore_names_its_encoder(out: Path) -> None:
    first, *_ = tables(Scores(measure_run(out)))
    assert first.columns[3] == "BERTScore (all-MiniLM-L6-v2)"
    assert next(row for row in first.rows if row[0] == "CDCDA-PLM")[3] == "1.000 [1.000, 1.000]"


def test_labels_are_counted_against_all_of_them(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, tags(tmp_path / "data"), "LaMP_2")
    folder = tmp_path / "out"
    open_run(plan, people_of(plan), folder)
    unit = Unit("0", "majority", None, None, None)
    answers = [{"id": "0", "answer": "sad", "gold": "funny"}, {"id": "1", "answer": "sad", "gold": "sad"}]
    told = {"records": 5, "device": "small", "cloud": "large", "facts": {}}
    write_json(folder / unit.file, {"unit": unit.__dict__, "answers": answers, **told})
    (table,) = tables(Scores(measure_run(folder)))
    assert table.columns[1:3] == ("Accuracy", "F1")
    assert [cell.split()[0] for cell in table.rows[0][1:3]] == ["0.500", "0.333"]


def test_the_commands_print_tables_figure_and_case(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--data-dir", str(tmp_path / "home")]
    bare = ["--no-bertscore", *home]
    figure = tmp_path / "k.svg"
    assert main(["lamp", "table", str(out), "--figure", str(figure), *bare]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(TABLE_1)
    assert f"Figure: {figure}" in printed
    assert "pairs asked for each shared record" in figure.read_text() or "<svg" in figure.read_text()
    assert main(["lamp", "case", str(out), "--user", "u9", *home]) == 2
    assert "those who have one are u0, u1" in capsys.readouterr().err
    assert main(["lamp", "table", str(out), "--figure", str(tmp_path / "k.gif"), *bare]) == 2
    assert ".svg or .png" in capsys.readouterr().err


def test_a_file_of_scores_gives_the_same_tables_and_holds_no_text_and_no_path(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--data-dir", str(tmp_path / "home")]
    scores = tmp_path / "scores.json"
    assert main(["lamp", "table", str(out), "--scores", str(scores), *home]) == 0
    printed = capsys.readouterr().out
    assert f"Scores: {scores}" in printed
    written = scores.read_text()
    assert str(tmp_path) not in written
    assert not [text for text in (*GOLDS.values(), "nothing") if text in written]
    assert main(["lamp", "table", str(scores), *home]) == 0
    assert printed.startswith(capsys.readouterr().out.rstrip())


@pytest.mark.parametrize("path", sorted((DOCS / "results").glob("*.json")), ids=lambda path: path.stem)
def test_the_log_shows_the_very_tables_that_its_stored_scores_make(path: Path) -> None:
    log = (DOCS / "experiments.md").read_text("utf-8")
    for table in tables(Scores(read_measurements(path))):
        assert table.markdown() in log


def test_survival_wants_the_pairs_that_a_run_makes(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lamp", "survival", str(out)]) == 2
    assert "let `cdcda lamp run` finish the method cdcda" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', '{"format": 1, "plan": {}}'])
def test_what_is_no_file_of_scores_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scores.json"
    path.write_text(content)
    assert main(["lamp", "table", str(path), "--data-dir", str(tmp_path / "home")]) == 2
    assert "lamp table DIR --scores" in capsys.readouterr().err


def test_the_case_study_shows_gold_and_every_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    plan = plan_for(tmp_path, titles(tmp_path / "data"))
    open_run(plan, people_of(plan), folder)
    unit = Unit("u0", "copy", None, None, None)
    answers = [
        {"id": f"0{number}", "answer": f"answer {number}", "gold": f"Gold 0 {number} rivers"} for number in (0, 1)
    ]
    told = {"records": 6, "device": "small", "cloud": "large", "facts": {}}
    write_json(folder / unit.file, {"unit": unit.__dict__, "answers": answers, **told})
    assert main(["lamp", "case", str(folder), "--user", "u0", "--json", "--data-dir", str(tmp_path / "home")]) == 0
    first, second = json.loads(capsys.readouterr().out)["tables"]
    assert "User u0, question 00: We ask 0 about question 0 of rivers" in first
    assert "| (really written) | Gold 0 0 rivers |  |" in first
    assert "| copy of the input | answer 1 | 0.33 |" in second
    assert "Like it in the history: " in first
