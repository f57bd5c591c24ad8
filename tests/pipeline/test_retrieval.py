"""Finding similar records, and LaMP's prompts with records in them."""

import pytest

from app.lamp import LampPair
from app.pipeline.retrieval import Retriever, augmented_prompt, augmented_prompts
from app.tasks import find_task

RECORDS = [
    LampPair("a boat on the river", "Boats"),
    LampPair("a mouse in the kitchen", "Mice"),
    LampPair("", "omg the river again"),
    LampPair("a boat on the river", "Newer boats"),
]


def test_the_most_similar_records_come_first_and_the_newer_of_equals() -> None:
    found = Retriever(RECORDS).find("which boat is on the river", 3)
    assert [record.output for record in found] == ["Newer boats", "Boats", "omg the river again"]


@pytest.mark.parametrize("text", ["", "the", "Привет", "?!"])
def test_a_text_that_is_like_nothing_still_finds_the_newest(text: str) -> None:
    assert [record.output for record in Retriever(RECORDS).find(text, 1)] == ["Newer boats"]
    assert Retriever([]).find(text, 3) == []


def test_records_stand_before_the_question_and_long_ones_are_cut() -> None:
    prompt = augmented_prompt(find_task("LaMP_5"), "A lake", RECORDS[:2], 2)
    assert prompt == (
        '"Boats" is the title for "a boat", and "Mice" is the title for "a mouse". Following the given patterns'
        " Generate a title for the following abstract of a paper: A lake"
    )


def test_a_citation_names_the_persons_titles_beside_the_question_s() -> None:
    question = 'For an author who has written the paper with the title "X", which reference is related? [1]: a [2]: b'
    prompt = augmented_prompt(find_task("LaMP_1"), question, RECORDS[:2], 9)
    assert prompt.startswith(
        'For an author who has written the paper with the title "X", and "Boats", and "Mice", which'
    )
    assert prompt.endswith("[1]: a [2]: b")


@pytest.mark.parametrize(
    ("task", "shown"),
    [
        ("LaMP_2", 'the tag for the movie: "a boat on" is "Boats", and the tag for the movie: "a mouse in" is "Mice"'),
        ("LaMP_3", 'Boats is the score for "a boat on", and Mice is the score for "a mouse in"'),
        ("LaMP_4", '"Boats" is the title for "a boat on", and "Mice" is the title for "a mouse in"'),
    ],
)
def test_tags_scores_and_headlines_are_asked_for_at_once_behind_the_records(task: str, shown: str) -> None:
    assert augmented_prompt(find_task(task), "A lake", RECORDS[:2], 3) == f"{shown}. {find_task(task).prompt('A lake')}"


def test_tweets_are_shown_as_written_by_a_person() -> None:
    prompt = augmented_prompt(find_task("LaMP_7"), "late", [RECORDS[2]], 9)
    assert prompt.startswith('"omg the river again" are written by a person. Following the given patterns Paraphrase')


def test_without_records_the_prompt_is_the_question_s_own() -> None:
    task = find_task("LaMP_3")
    assert augmented_prompt(task, "text", [], 9) == task.prompt("text")


def test_a_task_that_lamp_has_not_shows_what_the_person_wrote() -> None:
    prompt = augmented_prompt(find_task("chat"), "And {you}?", [LampPair("{input}", "{output} fine")], 9)
    assert prompt == '"{output} fine" is what I wrote for "{input}". Following the given patterns And {you}?'


def test_prompts_get_shorter_until_one_record_is_left() -> None:
    made = list(augmented_prompts(find_task("title"), "A lake", [LampPair("word " * 300, "Long"), RECORDS[1]]))
    assert [count for count, _ in made] == [2] * 4 + [1] * 4
    assert [prompt.count("word") for _, prompt in made] == [200, 120, 60, 30] * 2
