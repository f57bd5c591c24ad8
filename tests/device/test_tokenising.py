"""Tokenizers from GGUF files and from folders, against transformers and against each other."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.device.catalogue import EMBEDDED, find_model
from app.device.tokenising import Tokeniser, open_tokeniser
from app.errors import ModelDamaged
from tests.tiny import CHAT_TEMPLATE, END_OF_TEXT, IM_END, IM_START, tiny_folder, tiny_gguf


@pytest.fixture(scope="module")
def tokenisers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokeniser, Tokeniser]:
    home = tmp_path_factory.mktemp("models")
    gguf, folder = (find_model(str(path), home) for path in (tiny_gguf(home), tiny_folder(home)))
    return open_tokeniser(gguf), open_tokeniser(folder)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Tokeniser:
    return open_tokeniser(find_model(EMBEDDED, tmp_path_factory.mktemp("models")))


def test_gguf_and_folder_say_the_same_of_their_tokens(tokenisers: tuple[Tokeniser, Tokeniser]) -> None:
    for tokeniser in tokenisers:
        assert tokeniser.chat_template == CHAT_TEMPLATE
        assert (tokeniser.bos_text, tokeniser.eos_text) == ("<|im_start|>", "<|im_end|>")
        assert (tokeniser.eos_id, tokeniser.end_ids) == (IM_END, frozenset({IM_END, END_OF_TEXT}))


@given(text=st.text())
def test_text_survives_encoding_and_decoding(tokenisers: tuple[Tokeniser, Tokeniser], text: str) -> None:
    gguf, folder = tokenisers
    ids = gguf.encode(text, special=False)
    assert ids == folder.encode(text, special=False)
    assert gguf.decode(ids) == folder.decode(ids) == text


def test_special_tokens_are_read_only_where_asked(tokenisers: tuple[Tokeniser, Tokeniser]) -> None:
    for tokeniser in tokenisers:
        assert tokeniser.encode("<|im_start|>x<|im_end|>") == [IM_START, ord("x"), IM_END]
        assert not {IM_START, IM_END} & set(tokeniser.encode("<|im_start|>x<|im_end|>", special=False))


def test_special_tokens_are_written_out_or_left_out(tokenisers: tuple[Tokeniser, Tokeniser]) -> None:
    for tokeniser in tokenisers:
        ids = tokeniser.encode("a<|im_end|>")
        assert (tokeniser.decode(ids), tokeniser.decode(ids, special=False)) == ("a<|im_end|>", "a")
        assert tokeniser.decode([]) == ""


def test_half_a_surrogate_pair_is_encoded_as_a_question_mark(tokenisers: tuple[Tokeniser, Tokeniser]) -> None:
    for tokeniser in tokenisers:
        assert tokeniser.decode(tokeniser.encode("a\ud83d", special=False)) == "a?"


def test_the_embedded_models_tokens_are_those_of_its_authors(embedded: Tokeniser) -> None:
    """The ids are those that transformers gives for the same file."""
    assert embedded.encode("<|im_start|>user\nHello world<|im_end|>\n") == [1, 4093, 198, 19556, 905, 2, 198]
    assert embedded.eos_id == 2
    assert {0, 2} <= embedded.end_ids


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_file_that_cannot_be_read_is_a_damaged_model(tmp_path: Path, name: str) -> None:
    folder = tiny_folder(tmp_path)
    (folder / name).write_text('{"half', "utf-8")
    with pytest.raises(ModelDamaged, match="copy the model folder again"):
        open_tokeniser(find_model(str(folder), tmp_path))


def test_a_folder_that_names_no_end_is_a_damaged_model(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    text = (folder / "tokenizer.json").read_text("utf-8")
    (folder / "tokenizer.json").write_text(text.replace("<|im_end|>", "[a]").replace("<|endoftext|>", "[b]"), "utf-8")
    (folder / "tokenizer_config.json").write_text("{}", "utf-8")
    (folder / "config.json").write_text("{}", "utf-8")
    with pytest.raises(ModelDamaged, match="eos_token"):
        open_tokeniser(find_model(str(folder), tmp_path))


def test_a_folders_template_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "chat_template.jinja").write_text("its own", "utf-8")
    assert open_tokeniser(find_model(str(folder), tmp_path)).chat_template == "its own"


def test_a_folders_template_may_be_one_of_several(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    config = {"eos_token": {"content": "<|im_end|>"}, "chat_template": [{"name": "default", "template": "named"}]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    tokeniser = open_tokeniser(find_model(str(folder), tmp_path))
    assert (tokeniser.chat_template, tokeniser.eos_id, tokeniser.bos_text) == ("named", IM_END, "")
