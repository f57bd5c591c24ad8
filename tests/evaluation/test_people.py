"""Targets, others, and that nothing of a target reaches M_base."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.device.catalogue import find_model
from app.errors import BadInput, FileNotUsable, NothingToTrain
from app.evaluation import mbase
from app.evaluation.mbase import BaseRecipe
from app.evaluation.people import pairs_of, read_people, read_targets, require_no_target
from app.lamp import LampPair
from cloud_stub.pretraining.command import parse_options, recipe_of
from cloud_stub.pretraining.data import gather
from tests.evaluation.support import (
    TAG,
    TITLE,
    TWEET,
    paper,
    plan_for,
    question,
    reviews,
    tags,
    titles,
    tweets,
    write_split,
)


def test_the_longest_histories_are_the_targets_oldest_record_first(tmp_path: Path) -> None:
    people = read_people(titles(tmp_path, users=3), "LaMP_5", users=2)
    assert [(target.user, len(target.records)) for target in people.targets] == [("u0", 7), ("u1", 6)]
    assert [record.date for record in people.targets[1].records] == [f"200{year}" for year in range(6)]
    assert [person.user for person in people.others] == ["u2", "train o0", "train o1"]
    assert people.task.prompt("X") == f"{TITLE}X"


def test_targets_can_be_named(tmp_path: Path) -> None:
    assert [target.user for target in read_people(titles(tmp_path), "LaMP_5", 1, ["u1"]).targets] == ["u1"]
    with pytest.raises(BadInput, match="There is no user u9"):
        read_people(titles(tmp_path), "LaMP_5", 1, ["u9"])


def test_the_files_own_instruction_is_the_prompt(tmp_path: Path) -> None:
    people = read_people(tags(tmp_path), "LaMP_2", 1)
    assert people.task.prompt("X").endswith("tags: [funny, sad] description: X")
    assert people.labels == ("funny", "sad")
    with pytest.raises(FileNotUsable, match="holds the answers of LaMP_2"):
        read_people(tmp_path, "LaMP_5", 1)
    outputs = tmp_path / "dev_outputs.json"
    outputs.write_text(outputs.read_text().replace("LaMP_2", "LaMP_5"))
    with pytest.raises(FileNotUsable, match="should begin with"):
        read_people(tmp_path, "LaMP_5", 1)


def test_an_answer_that_no_metric_can_compare_with_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotUsable, match=r"question 0 in dev_outputs.json should be a number but is 'five'"):
        read_people(reviews(tmp_path / "reviews", "4", gold="five"), "LaMP_3", 1)
    asked = question("7", "0", f"{TAG}a boat", [{"id": "1", "description": "a duck", "tag": "sad"}])
    write_split(tmp_path / "tags", "dev", "LaMP_2", [(asked, " ")])
    with pytest.raises(FileNotUsable, match=r"question 7 in dev_outputs.json should be a label but is ''"):
        read_people(tmp_path / "tags", "LaMP_2", 1)


def test_neutral_rewrites_are_there_where_the_file_has_them(tmp_path: Path) -> None:
    (target,) = read_people(tweets(tmp_path), "LaMP_7", 1).targets
    assert target.records[0] == LampPair("", "omg flight 0!!", "2015")
    assert target.neutral[0] == LampPair("Flight 0 is late.", "omg flight 0!!", "2015")


def given_away(folder: Path) -> Path:
    """The second question's profile holds what the first one asks for, in other spacing and under another title."""
    own = {**paper("u", 7), "abstract": "We ASK about  rivers", "title": "Almost the gold"}
    profile = [paper("u", number) for number in range(3)]
    asked = [
        (question("a", "u", f"{TITLE}We ask about rivers", profile), "The gold"),
        (question("b", "u", f"{TITLE}We ask about boats", [*profile, own]), "Another gold"),
    ]
    write_split(folder, "dev", "LaMP_5", asked)
    others = [(question("c", "o", f"{TITLE}Roads", [{**paper("o", 1), "title": "Almost the gold"}]), "Road")]
    write_split(folder, "train", "LaMP_5", others)
    return folder


def test_what_a_question_asks_for_is_not_in_its_users_history(tmp_path: Path) -> None:
    people = read_people(given_away(tmp_path), "LaMP_5", 1)
    (target,) = people.targets
    assert [record.output for record in target.records] == ["u 0: boats", "u 1: boats", "u 2: boats"]
    assert read_targets(tmp_path, "LaMP_5", {"u"}) == people.targets
    assert (people.left_out, [person.profile for person in people.others]) == (2, [()])
    with pytest.raises(BadInput, match="M_base must not learn"):
        require_no_target(people, [LampPair("free", "Almost the gold")])


def test_a_tweet_that_is_an_answer_is_not_in_its_users_history(tmp_path: Path) -> None:
    profile = [
        {"id": "1", "text": "OMG late again", "neutral": "Late."},
        {"id": "2", "text": "yay", "neutral": "Fine."},
    ]
    write_split(tmp_path, "dev", "LaMP_7", [(question("0", "0", f"{TWEET}It is late.", profile), "omg late again")])
    (target,) = read_people(tmp_path, "LaMP_7", 1).targets
    assert target.records == (LampPair("", "yay"),)
    assert target.neutral == (LampPair("Fine.", "yay"),)


def leaky(folder: Path) -> Path:
    """o0 is the target under the same id; o1 wrote a paper together with the target; o2 nothing of either."""
    titles(folder, users=1, others=0)
    shared = paper("u0", 1)
    write_split(
        folder,
        "train",
        "LaMP_5",
        [
            (question("a", "u0", f"{TITLE}an older text", [paper("u0", 2)]), "Older"),
            (question("b", "o1", f"{TITLE}{shared['abstract'].upper()}", []), "Another title"),
            (question("c", "o1", f"{TITLE}alone", [shared, paper("o1", 5)]), "Alone"),
            (question("d", "o2", f"{TITLE}free", []), "Free"),
        ],
    )
    return folder


def test_a_targets_texts_are_taken_out_of_what_the_base_learns(tmp_path: Path) -> None:
    people = read_people(leaky(tmp_path), "LaMP_5", 1)
    learned = [pair.output for person in people.others for pair in pairs_of(people.task, person)]
    assert learned == ["o1 5: boats", "Alone", "Free"]
    assert people.left_out == 4
    require_no_target(people, [pair for person in people.others for pair in pairs_of(people.task, person)])


@pytest.mark.parametrize("pair", [("We study U0 number 3 of  boats and rivers", "x"), ("x", "Gold 0 1 rivers")])
def test_a_base_with_a_targets_text_is_refused(tmp_path: Path, pair: tuple[str, str]) -> None:
    people = read_people(titles(tmp_path), "LaMP_5", 1)
    with pytest.raises(BadInput, match="M_base must not learn from a target user"):
        require_no_target(people, [LampPair(*pair)])


def test_a_base_is_not_trained_on_people_put_in_by_mistake(tmp_path: Path) -> None:
    people = read_people(titles(tmp_path / "data"), "LaMP_5", 1)
    (wrong,) = read_people(titles(tmp_path / "data"), "LaMP_5", 1, ["u1"]).others[:1]
    assert wrong.user == "u0"
    mixed = dataclasses.replace(people, others=(wrong,))
    model = find_model(plan_for(tmp_path, tmp_path).device_model, tmp_path)
    with pytest.raises(BadInput, match="M_base must not learn"):
        mbase.make_mbase(mixed, model, tmp_path / "out", BaseRecipe())
    assert not list((tmp_path / "out").rglob("*.json"))


def test_a_base_learns_under_the_very_instruction_that_targets_are_asked_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tags(tmp_path / "data")
    other = question("o", "other", f"{TAG}a boat sinks", [{"id": "9", "description": "a duck", "tag": "funny"}])
    write_split(data, "train", "LaMP_2", [(other, "sad")])
    people = read_people(data, "LaMP_2", 1)
    commands: list[Sequence[str]] = []

    def note(command: Sequence[str]) -> None:
        commands.append(command)
        raise NothingToTrain("enough")

    monkeypatch.setattr(mbase, "_run", note)
    model = find_model(plan_for(tmp_path, data).device_model, tmp_path)
    with pytest.raises(NothingToTrain):
        mbase.make_mbase(people, model, tmp_path / "out", BaseRecipe())
    recipe = recipe_of(parse_options(commands[0][4:]))
    learned = gather(recipe.task, recipe.data, 0, recipe.as_asked)
    assert [text.task.prompt(text.input) for text in learned.texts] == [
        people.task.prompt("a duck"),
        people.task.prompt("a boat sinks"),
    ]


def test_a_question_without_an_answer_is_named(tmp_path: Path) -> None:
    titles(tmp_path)
    (tmp_path / "dev_outputs.json").write_text(json.dumps({"task": "LaMP_5", "golds": []}))
    with pytest.raises(FileNotUsable, match="question 00"):
        read_people(tmp_path, "LaMP_5", 1)
