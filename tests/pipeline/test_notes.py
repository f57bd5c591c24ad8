import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FileNotUsable
from app.pipeline.importing import import_file, preview_file, report_csv
from app.pipeline.notes import Pasted, read_pasted
from app.pipeline.workspace import open_workspace
from personal_store.records import all_records

LONG = "The lane behind the post office was flooded again on Monday night and nobody could reach the old mill."


def test_a_folder_of_notes_comes_in_with_titles_bodies_and_dates(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.md").write_text("# The lane\n\nIt flooded.\n")
    (folder / "2024-05-01 The mill.txt").write_bytes("\ufeffIt stood still.\r\nAll day.".encode())
    (folder / "deep" / "c.markdown").write_text('---\ntitle: "The ford"\ndate: 2023-01-02\n---\nIt was dry.')
    (folder / "under.md").write_text("A heading\n=========\nBelow it.")
    (folder / "empty.md").write_text("# Only a title\n")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".hidden.md").write_text("no")
    workspace = open_workspace(tmp_path / "data")
    done = import_file(workspace, folder)
    with workspace.store() as store:
        found = {record.output: (record.input, record.created_at) for record in all_records(store)}
    assert found == {
        "The lane": ("It flooded.", None),
        "The mill": ("It stood still.\nAll day.", "2024-05-01"),
        "The ford": ("It was dry.", "2023-01-02"),
        "A heading": ("Below it.", None),
    }
    assert [row.reason for row in done.rejected] == ["the input (body) is empty"]


def test_a_folder_without_notes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotUsable, match="folder of notes"):
        preview_file(tmp_path)


def test_pasted_notes_are_separated_by_dashes_or_two_empty_lines() -> None:
    table = read_pasted(
        Pasted("The lane\nIt flooded.\n\nFor days.\n---\n# The mill\nIt stood still.\n\n\n\nThe ford\nDry.")
    )
    assert [(row.line, row.values["title"], row.values["body"]) for row in table.rows] == [
        (1, "The lane", "It flooded.\n\nFor days."),
        (6, "The mill", "It stood still."),
        (11, "The ford", "Dry."),
    ]


@pytest.mark.parametrize(
    "text", ["abstract\ttitle\nIt flooded.\tThe lane\n", 'abstract,title\n"It, too, flooded.",The lane\n',
             '[{"abstract": "It flooded.", "title": "The lane"}]']
)  # fmt: skip
def test_a_pasted_table_is_read_as_one(text: str) -> None:
    preview = preview_file(Pasted(text))
    assert (preview.mapping.input, preview.mapping.output, preview.usable) == ("abstract", "title", 1)


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        (
            'Love, actually\nHe said "stay" and we stayed.\nIt rained all night.\n\n\nSecond note\nbody',
            ["Love, actually", "Second note"],
        ),
        ('Love, actually\n"Stay, he said.\n', ["Love, actually"]),
        ("\n" * 21 + "Title\nbody", ["Title"]),
        ("[Draft] Shopping list\nMilk, eggs\n---\n[2024]\nIt flooded.", ["[Draft] Shopping list", "[2024]"]),
        ("{draft}, again\nThe lane, the mill", ["{draft}, again"]),
    ],
)
def test_pasted_notes_are_no_table_for_a_mark_in_them(text: str, titles: list[str]) -> None:
    assert [row.values["title"] for row in read_pasted(Pasted(text)).rows] == titles


def test_pasted_json_lines_are_a_table_though_a_line_is_broken() -> None:
    table = read_pasted(Pasted('\n{"abstract": "It flooded.", "title": "The lane"}\n{"abstract": "It st\n'))
    assert (table.format, [row.problem for row in table.rows]) == ("JSON Lines", [None, "this line is not valid JSON"])


@pytest.mark.parametrize(
    "text", ['[\n {"abstract": "It flooded.", "title": "The la', '{"abstract": "It flooded.",\n "title": "The la']
)
def test_json_that_is_cut_off_is_no_note(text: str) -> None:
    rows = read_pasted(Pasted(text)).rows
    assert rows
    assert all(row.problem for row in rows)


NOTE = "It flooded, all of it.\nFor days, weeks.\n\nNobody came."


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("note.md", f"# The lane, again\n{NOTE}", "The lane, again"),
        ("a.markdown", f"[Draft]\n=======\n{NOTE}", "[Draft]"),
        ("2024-05-01 The lane.txt", NOTE, "The lane"),
        ("mail.txt", "Hi Bob,\n\nSure, I will come on Friday.\nBest, Jo\n", "mail"),
        ("table.md", "abstract,title\nIt flooded.,The lane\n", "table"),
    ],
)
def test_a_single_file_of_prose_is_a_note(tmp_path: Path, name: str, text: str, title: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    done = import_file(open_workspace(tmp_path / "data"), path)
    with open_workspace(tmp_path / "data").store() as store:
        (record,) = all_records(store)
    assert (done.imported, record.output, record.source) == (1, title, name)


@pytest.mark.parametrize(
    "text",
    [
        "abstract,title\nIt flooded.,The lane\nIt dried.,The ford\n" + ",none\n" * 3 + "It stood, still.,The mill\n",
        "what I wrote in those days\ttitle\nIt flooded.\tThe lane\nIt dried.\tThe ford\n",
        "sep=|\nabstract|title\nIt flooded.|The lane\nIt dried.|The ford\n",
        '{"abstract": "It flooded.", "title": "The lane"}\n{"abstract": "It dried.", "title": "The ford"}\n',
    ],
)
def test_a_text_file_that_is_a_table_is_read_as_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.txt"
    path.write_text(text)
    preview = preview_file(path)
    assert [row[:2] for row in preview.rows] == [("It flooded.", "The lane"), ("It dried.", "The ford")]


def test_a_note_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for name in ("missing.md", "missing.txt"):
        with pytest.raises(FileNotUsable, match="There is no file"):
            preview_file(tmp_path / name)


def test_a_file_without_columns_names_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("{draft}\nThe lane")
    assert preview_file(path).problem == (
        "It is not clear which columns of a.csv hold the input and the output; name them with --input and --output."
    )


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 21 + "abstract,title\nIt flooded.,The lane",
        " \nabstract\ttitle\nIt flooded.\tThe lane",
        'abstract,title\nIt flooded.,The lane\n"It stood still.,The mill\nIt dried.,The ford',
        '"abstract","title"\n"It flooded,\n\n\nfor ""days"".","The lane"',
    ],
)
def test_a_pasted_table_may_have_empty_lines_and_quotation_marks(text: str) -> None:
    table = read_pasted(Pasted(text))
    assert (table.columns, table.rows[0].values["title"]) == (("abstract", "title"), "The lane")


@given(st.text(max_size=300))
def test_any_pasted_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(FileNotUsable):
        assert read_pasted(Pasted(text)).rows


def rows_file(folder: Path, rows: list[tuple[str, str]]) -> Path:
    path = folder / "rows.tsv"
    path.write_text("\n".join(["abstract\ttitle", *("\t".join(row) for row in rows)]))
    return path


def test_near_duplicates_are_left_out_with_the_line_they_repeat(tmp_path: Path) -> None:
    rows = [
        (LONG, "The lane"),
        (LONG.upper() + " ", "the lane!"),
        (LONG.replace("Monday", "Tuesday"), "The lane"),
        (LONG, "A wholly different title"),
        ("Nothing of that kind happened.", "The lane"),
        (LONG, "The lane"),
    ]
    workspace = open_workspace(tmp_path / "data")
    path = rows_file(tmp_path, rows)
    done = import_file(workspace, path)
    assert (done.imported, done.duplicates) == (3, 1)
    assert [(row.line, row.reason) for row in done.near] == [
        (3, "almost the same as line 2"),
        (4, "almost the same as line 2"),
    ]
    assert report_csv(done).splitlines()[1] == "3,almost the same as line 2"
    path.write_text(f"abstract\ttitle\n{LONG.replace('old', 'new')}\tThe lane\n")
    again = import_file(workspace, path)
    assert (again.imported, again.near[0].reason) == (0, "almost the same as record 1")
    assert import_file(workspace, path, keep_near=True).imported == 1


def test_the_report_defuses_what_a_spreadsheet_would_run(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("=cmd(),title\n,The lane\nsome text,The mill\n")
    done = import_file(open_workspace(tmp_path / "data"), path, input="=cmd()", output="title")
    assert report_csv(done) == "line,reason\r\n2,the input (=cmd()) is empty\r\n"
