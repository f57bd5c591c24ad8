"""Easy data augmentation on a small database in WordNet's own format."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ModelMissing
from app.evaluation.eda import OPERATIONS, augment, augment_text
from app.evaluation.wordnet import WordNet, find_wordnet
from app.lamp import LampPair
from tests.evaluation.support import write_database


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    return WordNet(write_database(tmp_path_factory.mktemp("wordnet") / "dict"))


def test_synonyms_come_from_every_synset_of_the_base_form(wordnet: WordNet) -> None:
    assert wordnet.synonyms("river") == ("stream", "watercourse")
    assert wordnet.synonyms("Rivers") == ("river", "stream", "watercourse")
    assert wordnet.synonyms("mice") == ("Mouse", "rodent")
    assert wordnet.synonyms("studies") == ("examine", "look at", "study")
    assert wordnet.synonyms("table") == ()


def test_each_operation_does_what_it_says(wordnet: WordNet) -> None:
    words = ["We", "study", "boats", "on", "the", "river,", "slowly"]
    replace, insert, swap, delete = (operation(words, 2, wordnet, random.Random(1)) for operation in OPERATIONS)
    assert len(replace) == len(words)
    assert sum(one != other for one, other in zip(words, replace, strict=True)) == 2
    assert {"We", "on", "the", "slowly"} <= set(replace)
    assert len(insert) == len(words) + 2
    assert [word for word in insert if word in words] == words
    assert sorted(swap) == sorted(words)
    assert sum(one != other for one, other in zip(words, swap, strict=True)) in (3, 4)
    assert [word for word in words if word in delete] == delete


def test_a_replaced_word_keeps_its_punctuation(wordnet: WordNet) -> None:
    replaced = augment_text("The River, at last.", 0, 0, wordnet)
    assert replaced in ("The Stream, at last.", "The Watercourse, at last.")


@given(st.text(), st.integers(0, 7), st.integers(0, 3))
def test_any_text_can_be_augmented_and_the_seed_decides(wordnet: WordNet, text: str, number: int, seed: int) -> None:
    found = augment_text(text, number, seed, wordnet)
    assert found == augment_text(text, number, seed, wordnet)
    assert bool(found.split()) == bool(text.split())


def test_inputs_change_and_outputs_do_not(wordnet: WordNet) -> None:
    records = [LampPair("We study boats on the river", "Boats"), LampPair("A mouse on a boat by the river", "Mice")]
    made = augment(records, 4, 0, wordnet)
    assert {pair.output for pair in made} == {"Boats", "Mice"}
    assert not {pair.input for pair in made} & {record.input for record in records}
    assert 4 <= len(made) <= 8


def test_a_text_alone_is_changed_itself(wordnet: WordNet) -> None:
    made = augment([LampPair("", "my boat on the river")], 2, 0, wordnet)
    assert [pair.input for pair in made] == ["", ""]
    assert "my boat on the river" not in [pair.output for pair in made]


def test_where_wordnet_is_not_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="wordnet-base"):
        find_wordnet(tmp_path)
    assert find_wordnet(write_database(tmp_path / "dict")) == tmp_path / "dict"
