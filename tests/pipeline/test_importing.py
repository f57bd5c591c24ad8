import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadInput, FileNotUsable
from app.pipeline import dates
from app.pipeline.importing import Preview, import_file, preview_file
from app.pipeline.workspace import open_workspace
from personal_store import records


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def preview(folder: Path, name: str, content: str | bytes, **options: Any) -> Preview:
    return preview_file(write(folder, name, content), **options)


SMALL = (
    "date,abstract,title\n2024-01-02,A long text about cats and dogs,On cats\n2024-01-03,Über Fische im Meer,Fische\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_same_text_comes_in_from_every_encoding(tmp_path: Path, encoding: str, line_end: str) -> None:
    found = preview(tmp_path, "a.csv", SMALL.replace("\n", line_end).encode(encoding))
    assert found.rows == (
        ("A long text about cats and dogs", "On cats", "2024-01-02"),
        ("Über Fische im Meer", "Fische", "2024-01-03"),
    )
    assert found.mapping.task == "title"


def test_old_bytes_in_a_utf8_file_are_read_as_what_they_were(tmp_path: Path) -> None:
    content = "abstract,title\nNaïve — yes,First\n".encode() + b"Caf\xe9 on the corner,Second\n"
    assert [row[0] for row in preview(tmp_path, "a.csv", content).rows] == ["Naïve — yes", "Café on the corner"]


BEFORE_UNICODE = {
    "Сегодня на реке был сильный ветер и паром отменили|Паром не пошёл": ("cp1251", "koi8_r", "cp866"),
    "Сьогодні на річці був сильний вітер і пором скасували|Пором не пішов": ("cp1251",),
    "Σήμερα φυσούσε πολύ και το πλοίο δεν έφυγε από το λιμάνι|Το πλοίο έμεινε": ("cp1253",),
    "היום הייתה רוח חזקה והמעבורת בוטלה בגלל הגלים|המעבורת לא יצאה": ("cp1255",),
    "كانت الرياح قوية اليوم وألغيت العبارة بسبب الأمواج|العبارة لم تغادر": ("cp1256",),
    "วันนี้ลมแรงมากและเรือข้ามฟากถูกยกเลิก|เรือไม่ออก": ("cp874",),
    "今天河上风很大，渡船取消了，大家都在码头等着|渡船没有开": ("gb18030",),
    "今天河上風很大，渡船取消了，大家都在碼頭等著|渡船沒有開": ("big5",),
    "今日は川の風が強くて渡し船が欠航になりました。みんな桟橋で待っていた。|渡し船は出なかった": ("cp932", "euc_jp"),
    "Na rzece było dziś wietrznie i prom odwołano, wszyscy czekali na przystani|Prom nie odpłynął": (
        "cp1250",
        "iso8859-2",
    ),
    "Na řece dnes foukal silný vítr a přívoz byl zrušen, všichni čekali|Přívoz nevyplul": ("cp1250",),
    "Bugün nehirde güçlü rüzgâr vardı ve feribot iptal edildi, herkes bekledi|Feribot kalkmadı": ("cp1254",),
    "Šiandien upėje pūtė stiprus vėjas ir keltas buvo atšauktas, visi laukė prieplaukoje|Keltas neišplaukė": (
        "cp1257",
    ),
    "오늘은 강바람이 강해서 나룻배가 취소되었다. 모두 부두에서 기다렸다.|나룻배는 떠나지 않았다": ("cp949",),
}


@pytest.mark.parametrize(
    ("text", "encoding"), [(text, encoding) for text, known in BEFORE_UNICODE.items() for encoding in known]
)
@pytest.mark.parametrize("rows", [1, 2000])
def test_text_comes_in_from_the_encodings_before_unicode(tmp_path: Path, text: str, encoding: str, rows: int) -> None:
    said, title = text.split("|")
    lines = [f'"{said} {number}","{title}"' for number in range(rows)]
    found = preview(tmp_path, "a.csv", "\n".join(["abstract,title", *lines]).encode(encoding))
    assert found.usable == rows
    assert found.rows[0][:2] == (f"{said} 0", title)


WESTERN = (
    "ÉTÉ À LA MER «ÇÀ ET LÀ»,Où?",
    "Grüße „über“ Öl,Ä",
    "“Naïve” — it’s…,€5",
    "São João à noite,Já",
    "Ä Ö Ü ß,It was 10 °C",
    "Tá sé seo i nGaeilge agus tá sé fuar,½ cup",
    "déjà vu,Ez ö ü á é",
    "É Ç,the ì",
    "The critic’s choice — again,It’s fine",
    "El niño comió ayer en el río,¿Mañana?",
    "Idag blåste det hårt på älven och färjan ställdes in,Färjan gick inte",
)


@pytest.mark.parametrize("rows", [1, 200])
@pytest.mark.parametrize("line", WESTERN)
def test_western_text_stays_western(tmp_path: Path, line: str, rows: int) -> None:
    found = preview(tmp_path, "a.csv", ("abstract,title\n" + f"{line}\n" * rows).encode("cp1252"))
    assert (found.encoding, ",".join(found.rows[0][:2])) == ("cp1252", line)


@pytest.mark.parametrize(
    ("name", "mark"), [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t"), ("a.txt", "\t"), ("a.csv", "|")]
)
def test_delimiters_are_recognised(tmp_path: Path, name: str, mark: str) -> None:
    assert preview(tmp_path, name, SMALL.replace(",", mark)).usable == 2


def test_a_quoted_line_end_stays_in_its_cell_and_lines_are_counted_in_the_file(tmp_path: Path) -> None:
    found = preview(tmp_path, "a.csv", 'abstract,title\n"one\ntwo",First\n,Second\nthree,\n"a ""b""",Third\n')
    assert [row[:2] for row in found.rows] == [("one\ntwo", "First"), ('a "b"', "Third")]
    assert [row.line for row in found.rejected] == [4, 5]
    assert "input (abstract) is empty" in found.rejected[0].reason
    assert "output (title) is empty" in found.rejected[1].reason


def test_ragged_rows_are_rejected_with_their_line(tmp_path: Path) -> None:
    found = preview(tmp_path, "a.csv", "abstract,title\na,b,c\nx\nfine,yes\n")
    assert [(row.line, row.reason) for row in found.rejected] == [
        (2, "3 fields where the header has 2"),
        (3, "1 field where the header has 2"),
    ]
    assert found.usable == 1


@pytest.mark.parametrize("quoted_later", [False, True])
@pytest.mark.parametrize("broken", ['"never closed,Broken', 'Broken,"never closed', '"a""b,Broken'])
def test_a_quotation_mark_that_is_never_closed_costs_its_line_alone(
    tmp_path: Path, broken: str, quoted_later: bool
) -> None:
    good = [f"text {n},{n} of many" for n in range(300)]
    if quoted_later:
        good[200:203] = ['"two\nlines",Quoted', '"","Both"', '"one, two",Commas']
    found = preview(
        tmp_path,
        "a.csv",
        "\n".join(["abstract,title", *good[:5], broken, *good[5:], broken, "last text,Last"]),
        rows=999,
    )
    said = "a quotation mark opens a field in it and is never closed"
    unclosed = [row.line for row in found.rejected if row.reason == said]
    assert unclosed == [7, 303 + quoted_later]
    assert found.usable == 301 - quoted_later
    assert found.rows[5][0] == "text 5"
    assert not quoted_later or ("two\nlines", "Quoted", None) in found.rows


def test_many_unclosed_quotation_marks_are_read_in_time(tmp_path: Path) -> None:
    rows = [f'"open {n},Title {n}' if n % 2 else f"text {n},Title {n}" for n in range(20_000)]
    began = time.process_time()
    found = preview(tmp_path, "a.csv", "\n".join(["abstract,title", *rows]))
    assert (found.usable, len(found.rejected)) == (10_000, 10_000)
    assert time.process_time() - began < 10


def test_an_unclosed_quotation_mark_in_the_header_hides_no_row(tmp_path: Path) -> None:
    found = preview(tmp_path, "a.csv", '"abstract,title\none two three,First\nfour five six,Second\n')
    assert (found.columns, found.usable) == (("abstract", "title"), 2)


@pytest.mark.parametrize("mark", [",", ";", "|", "\t"])
def test_the_line_in_which_a_spreadsheet_names_its_separator_is_no_header(tmp_path: Path, mark: str) -> None:
    found = preview(tmp_path, "a.csv", f"sep={mark}\r\n" + SMALL.replace(",", mark).replace("\n", "\r\n"))
    assert (found.columns, found.usable) == (("date", "abstract", "title"), 2)


def test_empty_cells_beside_the_table_do_not_count(tmp_path: Path) -> None:
    found = preview(tmp_path, "a.csv", "abstract,title\none two,First,\nthree four,Second,,  ,\nfive,Third,x\n")
    assert [row[0] for row in found.rows] == ["one two", "three four"]
    assert [row.reason for row in found.rejected] == ["3 fields where the header has 2"]


def test_a_megabyte_in_one_record_is_rejected_and_the_rest_comes_in(tmp_path: Path) -> None:
    found = preview(tmp_path, "a.csv", f"abstract,title\n{'x' * 1_000_000},Long\nshort,Short\n")
    assert found.usable == 1
    assert found.rejected[0].reason == "the input (abstract) has 1,000,000 characters, more than 20,000"


def test_json_lines_report_the_line_that_is_broken(tmp_path: Path) -> None:
    found = preview(tmp_path, "a.jsonl", '{"abstract": "one", "title": "First"}\n{"abstract": \n[1]\n')
    assert found.format == "JSON Lines"
    assert [(row.line, row.reason) for row in found.rejected] == [
        (2, "this line is not valid JSON"),
        (3, "expected an object with named fields, got list"),
    ]


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"posts": rows, "version": 1}])
def test_a_json_list_comes_in(tmp_path: Path, wrap: Any) -> None:
    rows = [{"prompt": "Why?", "answer": "Because \ud800 of that.", "n": 3}, {"prompt": "How?", "answer": None}]
    found = preview(tmp_path, "a.json", json.dumps(wrap(rows)))
    assert (found.format, found.mapping.task, found.usable) == ("JSON", "chat", 1)
    assert found.rejected[0].line == 2
    import_file(open_workspace(tmp_path / "data"), tmp_path / "a.json")


def test_numbers_that_stand_for_a_missing_value_are_empty(tmp_path: Path) -> None:
    rows = [{"abstract": "one", "title": float("nan")}, {"abstract": float("-inf"), "title": 2.5}]
    for name, text in (("a.json", json.dumps(rows)), ("a.jsonl", "\n".join(map(json.dumps, rows)))):
        found = preview(tmp_path, name, text)
        assert [row.reason for row in found.rejected] == [
            "the output (title) is empty",
            "the input (abstract) is empty",
        ]


def test_content_tells_the_format_where_the_suffix_does_not(tmp_path: Path) -> None:
    assert preview(tmp_path, "history.txt", '[{"abstract": "one", "title": "First"}]').format == "JSON"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b" \n\n", "is empty"),
        ("a.csv", b"\xef\xbb\xbf", "is empty"),
        ("a.csv", b"abstract,title\n", "no record below it"),
        ("a.csv", b"\x89PNG\x00\x00", "not a text file"),
        ("a.xlsx", b"PK\x03\x04 and so on", "save a spreadsheet as CSV"),
        ("a.json", b'[{"abstract": "one"', "not valid JSON"),
        ("a.json", b"hello", "not JSON although"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(FileNotUsable, match=says):
        preview(tmp_path, name, content)


def test_a_folder_and_a_missing_file_are_no_history(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(FileNotUsable):
            preview_file(path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [(",A title\n", "The only row of a.csv cannot be used (line 2"), (",A\n,B\n", "None of the 2 rows")],
)
def test_a_file_without_a_usable_row_says_why(tmp_path: Path, rows: str, said: str) -> None:
    problem = preview(tmp_path, "a.csv", "abstract,title\n" + rows).problem
    assert problem
    assert problem.startswith(said)


def test_columns_that_could_be_anything_are_named_in_the_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "one,two,three\nA very long text that goes on,short words,other words\n" * 2)
    found = preview_file(path)
    assert found.problem
    assert "one, two, three" in found.problem
    assert "--output" in found.problem
    with pytest.raises(FileNotUsable, match="--output"):
        import_file(open_workspace(tmp_path / "data"), path)
    assert preview_file(path, output="two").mapping.input == "one"


def test_the_only_shorter_column_is_the_output(tmp_path: Path) -> None:
    rows = "".join(f"{n},Some long diary entry about day {n},Day {n}!\n" for n in range(9))
    found = preview(tmp_path, "a.csv", "nr,entry,label text\n" + rows)
    assert (found.mapping.input, found.mapping.output, found.mapping.task) == ("entry", "label text", "title")


def test_a_named_column_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", SMALL)
    with pytest.raises(FileNotUsable, match="the file has date, abstract, title"):
        preview_file(path, input="body")
    with pytest.raises(BadInput, match="There is no task 'poem'"):
        preview_file(path, task="poem")


def test_columns_of_a_film_review_table_are_recognised(tmp_path: Path) -> None:
    content = (
        "critic,fresh,imdb,publication,quote,review_date,rtid,title\r\n"
        "R. E.,fresh,0114709,Sun,The result is a ride of a movie.,2000-01-01,9559,Toys\r\n"
        "R. E.,rotten,0113041,Sun,,2000-01-01,10379,Father\r\n"
    )
    found = preview(tmp_path, "critic.csv", content)
    assert (found.mapping.task, found.mapping.input, found.mapping.output) == ("tag", "quote", "fresh")
    assert (found.mapping.date, found.usable) == ("review_date", 1)


@pytest.mark.parametrize(
    ("scores", "task"),
    [
        (["8", "9/10", "7,5"], "rating"),
        (["good", "poor", "n/a"], "tag"),
    ],
)
@pytest.mark.parametrize("named", [{}, {"input": "review", "output": "score"}])
def test_a_column_named_score_is_a_rating_only_where_it_holds_numbers(
    tmp_path: Path, scores: list[str], task: str, named: dict[str, str]
) -> None:
    rows = "".join(f'"A long review of thing number {n}.","{scores[n % 3]}"\n' for n in range(15))
    found = preview(tmp_path, "a.csv", "review,score\n" + rows, **named)
    assert (found.mapping.task, found.mapping.input, found.mapping.output) == (task, "review", "score")


@pytest.mark.parametrize(
    ("written", "iso"),
    [
        ("2015-02-22", "2015-02-22"),
        ("2015-02-22T14:54:00+02:00", "2015-02-22T12:54:00+00:00"),
        ("22-02-2015 14.54", "2015-02-22T14:54:00+00:00"),
        ("2/22/2015", "2015-02-22"),
        ("22.02.2015 14:54", "2015-02-22T14:54:00+00:00"),
        ("Sun Feb 22 14:54:00 +0000 2015", "2015-02-22T14:54:00+00:00"),
        ("February 22, 2015", "2015-02-22"),
        ("1424616840", "2015-02-22T14:54:00+00:00"),
        ("2016", "2016"),
        ("Jan 15, 2024, 3:45:12\u202fPM UTC", "2024-01-15T15:45:12+00:00"),
        ("1/15/2024 12:05:12 AM", "2024-01-15T00:05:12+00:00"),
        ("1/15/24, 3:45 PM", "2024-01-15T15:45:00+00:00"),
        ("2024-01-15 15:45:12 UTC", "2024-01-15T15:45:12+00:00"),
        ("2024-01-15 15:45:12 -0830", "2024-01-16T00:15:12+00:00"),
        ("2024-1-5", "2024-01-05"),
        ("2024-01", "2024-01-01"),
        ("15-Jan-2024", "2024-01-15"),
        ("Monday, January 15th, 2024 at 3.45", "2024-01-15T03:45:00+00:00"),
        ("Mon, 20 Nov 95 19:12:08 EST", "1995-11-21T00:12:08+00:00"),
        ("Mon Jan 15 15:45:12 2024", "2024-01-15T15:45:12+00:00"),
        (
            "Mon Jan 15 2024 15:45:12 GMT+0100 (Central European Standard Time)",
            "2024-01-15T14:45:12+00:00",
        ),
        ("Mayor 12, 2020", None),
        ("yesterday", None),
        ("0001-01-01", None),
        ("99-99-9999", None),
        ("", None),
    ],
)
def test_dates_become_iso(tmp_path: Path, written: str, iso: str | None) -> None:
    content = f'date,abstract,title\n"{written}",one two three,First\n'
    found = preview(tmp_path, "a.csv", content)
    assert found.rows[0][2] == iso
    assert found.unread_dates == (iso is None and written != "")


@given(st.text(max_size=30) | st.from_regex(dates.CLOCK) | st.from_regex(dates.NAMED) | st.from_regex(dates.NUMBERED))
def test_any_text_is_a_date_or_none(text: str) -> None:
    iso = dates.to_iso(text)
    assert iso is None or iso[:2] >= "19"


def test_whether_the_month_comes_first_is_told_by_the_last_rows_too(tmp_path: Path) -> None:
    rows = [f"1/{1 + n // 50}/2024,the text number {n},Title {n}" for n in range(700)]
    found = preview(tmp_path, "a.csv", "\n".join(["date,abstract,title", *rows]), rows=700)
    assert [row[2] for row in found.rows] == [f"2024-01-{1 + n // 50:02}" for n in range(700)]
    assert found.unread_dates == 0


def test_dates_of_imported_rows_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    content = "date,abstract,title\nlast week,one two,First\n,three four,Second\nsoon,,Third\n2024-01-02,five,Fourth\n"
    assert import_file(open_workspace(tmp_path / "data"), write(tmp_path, "a.csv", content)).unread_dates == 1


@pytest.mark.parametrize(
    ("column", "written", "is_date"),
    [
        ("candidate", "2024-01-02", False),
        ("Update", "2024-01-02", False),
        ("validated", "2024-01-02", False),
        ("date of birth", "unknown", False),
        ("created_date", "2024-01-02", True),
        ("Date written", "2 January 2024", True),
        ("pubDate", "Mon, 20 Nov 95 19:12:08 EST", True),
        ("publishDate", "1/15/2024", True),
        ("UTCDate", "2024-01-02", True),
        ("createdAt", "2024-01-02T03:04:05Z", True),
        ("DATE-2", "2024-01-02", True),
    ],
)
def test_a_column_is_the_date_where_a_word_of_its_name_and_a_value_say_so(
    tmp_path: Path, column: str, written: str, is_date: bool
) -> None:
    content = f'{column},abstract,title\n,"a long text, here",First\n"{written}",another text,Second\n'
    assert preview(tmp_path, "a.csv", content).mapping.date == (column if is_date else None)


QUESTIONS = {
    "LaMP_5": (
        "Generate a title for the following abstract of a paper: x",
        {"abstract": "A b c", "title": "T"},
        "title",
    ),
    "LaMP_4": ("Generate a headline for the following article: x", {"text": "A b c", "title": "T"}, "headline"),
    "LaMP_3": ("What is the score of the following review on", {"text": "A b c", "score": "5"}, "rating"),
    "LaMP_2": ("Which tag does this movie relate to", {"description": "A b c", "tag": "T"}, "tag"),
    "LaMP_1": ("For an author who has written the paper", {"abstract": "A b c", "title": "T"}, "citation"),
    "LaMP_7": ("Paraphrase the following tweet", {"neutral": "A b c", "text": "T"}, "paraphrase"),
}


@pytest.mark.parametrize("lamp", sorted(QUESTIONS))
def test_a_lamp_file_tells_its_task_and_its_profile_is_the_history(tmp_path: Path, lamp: str) -> None:
    prompt, item, task = QUESTIONS[lamp]
    questions = [
        {"id": str(n), "input": prompt, "profile": [{**item, "id": "7", "date": "2020-01-01"}]} for n in (1, 2)
    ]
    found = preview(tmp_path, "q.json", json.dumps(questions))
    assert (found.format, found.mapping.task, found.usable) == ("LaMP", task, 1)
    assert found.rows[0][:2] == ("A b c", "5" if lamp == "LaMP_3" else "T")


def test_lamp7_without_neutral_texts_rejects_each_tweet_with_the_reason(tmp_path: Path) -> None:
    questions = [{"id": "1", "input": QUESTIONS["LaMP_7"][0], "profile": [{"id": "1", "text": "a tweet"}]}]
    found = preview(tmp_path, "q.json", json.dumps(questions))
    assert found.rejected[0].reason == "the input (neutral) is empty"
    assert found.problem


def test_of_several_lamp_users_one_must_be_named(tmp_path: Path) -> None:
    item = {"abstract": "A b c", "title": "T"}
    prompt = QUESTIONS["LaMP_5"][0]
    questions = [
        {"id": str(n), "user_id": user, "input": prompt, "profile": [{**item, "title": f"Of {user}"}]}
        for n, user in enumerate(["ann", "ann", "ben"])
    ]
    path = write(tmp_path, "q.json", json.dumps(questions))
    with pytest.raises(BadInput, match=r"profiles of 2 users.*--user \(ann, ben\)"):
        preview_file(path)
    with pytest.raises(BadInput, match="no user 'eve'"):
        preview_file(path, user="eve")
    assert preview_file(path, user="ben").rows == (("A b c", "Of ben", None),)


def test_importing_twice_adds_nothing_and_shares_nothing(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "data")
    path = write(tmp_path, "a.csv", SMALL)
    first, second = import_file(workspace, path), import_file(workspace, path)
    assert (first.imported, first.duplicates, second.imported, second.duplicates) == (2, 0, 0, 2)
    with workspace.store() as store:
        assert not any(record.shared for record in records.all_records(store))


def test_a_file_that_only_says_its_separator_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotUsable, match="no record"):
        preview(tmp_path, "a.csv", "sep=,\n")


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)


@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8), encoding=st.sampled_from(["utf-8-sig", "utf-16"])
)
def test_what_a_csv_writer_wrote_is_read_or_reported(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], encoding: str
) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("abstract", "title"), *rows])
    found = preview(tmp_path_factory.mktemp("csv"), "a.csv", buffer.getvalue().encode(encoding))
    readable = [(source.strip(), target.strip()) for source, target in rows if source.strip() and target.strip()]
    assert [row[:2] for row in found.rows] == readable
    assert found.usable + len(found.rejected) <= len(rows)
