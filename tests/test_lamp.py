"""Reading LaMP's files: both splits, the rule of each task, and files that are not as they should be."""

import json
from pathlib import Path
from typing import Any

import pytest

from app import lamp
from app.errors import BadInput, FileNotUsable
from app.tasks import find_task

ASKED = "Generate a title for the following abstract of a paper: "
ITEM = {"id": "7", "abstract": "How a paper is found.", "title": "Finding papers", "date": "2016"}


def write(folder: Path, questions: Any, golds: Any = None) -> tuple[Path, Path]:
    paths = folder / "dev_questions.json", folder / "dev_outputs.json"
    for path, content in zip(paths, (questions, golds), strict=True):
        path.write_text(json.dumps(content), "utf-8")
    return paths


def question(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": str(number), "input": f"{ASKED}Text {number}.", "profile": [ITEM], **fields}


def golds(*ids: int) -> dict[str, Any]:
    return {"task": "LaMP_5", "golds": [{"id": str(number), "output": f"Title {number}"} for number in ids]}


def test_time_based_files_join_the_questions_of_a_user(tmp_path: Path) -> None:
    later = {**ITEM, "id": "8", "title": "Later"}
    asked = [question(1, user_id=5), question(2, user_id="ben"), question(3, user_id=5, profile=[ITEM, later])]
    five, ben = lamp.people(lamp.read_questions(*write(tmp_path, asked, golds(1, 2, 3))))
    assert (five.user, ben.user) == ("5", "ben")
    assert [(one.id, one.answer) for one in five.questions] == [("1", "Title 1"), ("3", "Title 3")]
    assert [item["title"] for item in five.profile] == ["Finding papers", "Later"]


def test_user_based_files_tell_people_apart_by_their_profiles(tmp_path: Path) -> None:
    asked = [question(1), question(2, profile=[{**ITEM, "id": "8"}]), question(3), question(4, profile=[])]
    found = lamp.people(lamp.read_questions(write(tmp_path, asked)[0]))
    assert [(person.user, len(person.questions)) for person in found] == [("0", 2), ("1", 1), ("2", 1)]
    assert found[0].questions[0].answer is None


def test_a_profile_of_a_thousand_items_is_read_whole(tmp_path: Path) -> None:
    profile = [{**ITEM, "id": str(number)} for number in range(1000)]
    (only,) = lamp.people(lamp.read_questions(write(tmp_path, [question(1, profile=profile)])[0]))
    assert len(only.profile) == 1000


@pytest.mark.parametrize(
    ("name", "item", "pair"),
    [
        ("LaMP_1", {"abstract": "A", "title": "T", "date": "2016"}, lamp.LampPair("A", "T", "2016")),
        ("LaMP_2", {"description": "D", "tag": "classic"}, lamp.LampPair("D", "classic")),
        ("LaMP_3", {"text": "R", "score": "5"}, lamp.LampPair("R", "5")),
        ("LaMP_4", {"text": "A", "title": "H"}, lamp.LampPair("A", "H")),
        ("LaMP_5", ITEM, lamp.LampPair("How a paper is found.", "Finding papers", "2016")),
        ("LaMP_7", {"text": "w00t", "neutral": "I am glad."}, lamp.LampPair("", "w00t")),
    ],
)
def test_each_task_makes_its_own_pairs(name: str, item: dict[str, str], pair: lamp.LampPair) -> None:
    assert lamp.pair_of(find_task(name), item) == pair


def test_a_tweet_may_be_paired_with_its_neutral_text() -> None:
    item = {"text": "w00t", "neutral": "I am glad."}
    assert lamp.pair_of(find_task("LaMP_7"), item, neutral=True) == lamp.LampPair("I am glad.", "w00t")


PROMPTS = {
    "LaMP_1": 'For an author who has written the paper with the title "X", which reference is related? [1]: "Y"',
    "LaMP_2": "Which tag does this movie relate to? tags: [sci-fi, classic] description: A man. description: b",
    "LaMP_3": "What is the score of the following review on a scale of 1 to 5? review: A man. description: b",
    "LaMP_4": "Generate a headline for the following article: A man. description: b",
    "LaMP_5": f"{ASKED}A man. description: b",
    "LaMP_7": "Paraphrase the following tweet without any explanation before or after it: A man. description: b",
}


@pytest.mark.parametrize("name", sorted(PROMPTS))
def test_a_question_tells_its_task_and_gives_its_text(name: str) -> None:
    prompt = PROMPTS[name]
    task = lamp.task_of(prompt)
    assert task is find_task(name)
    text = prompt if name == "LaMP_1" else "A man. description: b"
    asked = lamp.LampQuestion("1", "0", prompt, (), " gold ")
    assert lamp.question_pair(task, asked) == lamp.LampPair(text, "gold")


def test_the_app_renders_a_title_question_as_lamp_wrote_it() -> None:
    asked = lamp.LampQuestion("1", "0", f"{ASKED}Text.", (), None)
    task = find_task("LaMP_5")
    assert task.prompt(lamp.input_of(task, asked)) == asked.prompt


@pytest.mark.parametrize(
    ("questions", "answers", "sentence"),
    [
        ([{"id": "a", "input": "x", "profile": []}, {"id": "b", "input": 3, "profile": []}], golds(), "Question b of"),
        ([question(1), "text"], golds(1), "Question number 2 of"),
        ([question(1, profile=["text"])], golds(1), "profile of question 1 in .* holds a str"),
        ({"golds": []}, golds(), "should be a list of LaMP questions"),
        ([], golds(), "should be a list of LaMP questions"),
        ([question(1), question(2)], golds(1), "no answer to question 2"),
        ([question(1)], [1, 2], "should hold"),
        ([question(1)], {"golds": [{"id": "1"}]}, "should hold"),
        ([question(1)], {"golds": [{"id": "1", "output": None}]}, "no answer to question 1"),
        ([question(1), question(1)], golds(1), "question id 1 stands twice in dev_questions.json"),
        ([question(1)], golds(1, 1), "question id 1 stands twice in dev_outputs.json"),
        (
            [question(1, user_id="0"), question(2)],
            golds(1, 2),
            "Question 2 of dev_questions.json should have a user_id",
        ),
        ([question(1, input="\ud83d")], golds(1), r"Question 1 in dev_questions.json holds '\\ud83d'"),
        ([question(1, profile=[{**ITEM, "title": "\udc00"}])], golds(1), "Question 1 in dev_questions.json holds"),
        ([question(1)], {"golds": [{"id": 1, "output": "\ud83d"}]}, "Question 1 in dev_outputs.json holds"),
    ],
)
def test_a_malformed_file_is_named_in_one_sentence(tmp_path: Path, questions: Any, answers: Any, sentence: str) -> None:
    with pytest.raises(FileNotUsable, match=sentence):
        lamp.read_questions(*write(tmp_path, questions, answers))


def test_answers_of_another_task_are_refused_and_a_variants_name_is_not(tmp_path: Path) -> None:
    for told, task in (("LaMP_5", "LaMP_5"), ("LaMP_2M", "LaMP_2"), (None, "LaMP_5")):
        paths = write(tmp_path, [question(1)], {**golds(1), "task": told})
        assert len(lamp.read_questions(*paths, find_task(task))) == 1
    with pytest.raises(FileNotUsable, match=r"dev_outputs.json holds the answers of LaMP_4 and not of LaMP_5"):
        lamp.read_questions(*write(tmp_path, [question(1)], {**golds(1), "task": "LaMP_4"}), find_task("LaMP_5"))


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    for path in (paths := write(tmp_path, [question(1)], golds(1))):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert lamp.read_questions(*paths)[0].answer == "Title 1"


def test_a_file_that_is_not_there_or_cut_short_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotUsable, match="There is no file"):
        lamp.read_questions(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('[{"id": "1", "inp', "utf-8")
    with pytest.raises(FileNotUsable, match="not valid JSON"):
        lamp.read_questions(tmp_path / "cut.json")


def test_what_does_not_belong_to_the_task_is_refused() -> None:
    with pytest.raises(FileNotUsable, match="profile item 7 should have a field 'description'"):
        lamp.pair_of(find_task("LaMP_2"), ITEM)
    with pytest.raises(FileNotUsable, match="Question 1 should have its text after 'review:'"):
        lamp.input_of(find_task("LaMP_3"), lamp.LampQuestion("1", "0", "Rate this.", (), None))
    with pytest.raises(FileNotUsable, match="has no answer"):
        lamp.question_pair(find_task("LaMP_5"), lamp.LampQuestion("1", "0", f"{ASKED}Text.", (), None))
    with pytest.raises(BadInput, match="none of LaMP's"):
        lamp.pair_of(find_task("chat"), ITEM)
