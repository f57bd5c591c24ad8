"""The prompt renderer, token by token."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.device.catalogue import EMBEDDED, find_model
from app.device.rendering import (
    Message,
    end_of_turn,
    render_example,
    render_prompt,
    render_task,
    template_hash,
)
from app.device.tokenising import Tokeniser, open_tokeniser
from app.errors import BadInput, ModelDamaged
from app.tasks import find_task
from tests.tiny import IM_END, IM_START, tiny_folder, tiny_gguf

CHAT, TITLE = find_task("chat"), find_task("title")


@dataclasses.dataclass
class WithTemplate:
    """A real tokenizer under another chat template."""

    real: Tokeniser
    chat_template: str

    @property
    def bos_text(self) -> str:
        return self.real.bos_text

    @property
    def eos_text(self) -> str:
        return self.real.eos_text

    @property
    def eos_id(self) -> int:
        return self.real.eos_id

    @property
    def end_ids(self) -> frozenset[int]:
        return self.real.end_ids

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        return self.real.encode(text, special=special)

    def decode(self, ids: Sequence[int], *, special: bool = True) -> str:
        return self.real.decode(ids, special=special)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tokeniser:
    home = tmp_path_factory.mktemp("models")
    return open_tokeniser(find_model(str(tiny_gguf(home)), home))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Tokeniser:
    return open_tokeniser(find_model(EMBEDDED, tmp_path_factory.mktemp("models")))


def test_the_tiny_models_prompt_token_by_token(tiny: Tokeniser) -> None:
    line_break = tiny.encode("\n")
    assert render_prompt(tiny, [Message("user", "hi")]) == [
        IM_START, *tiny.encode("user"), *line_break, *tiny.encode("hi"), IM_END, *line_break,
        IM_START, *tiny.encode("assistant"), *line_break,
    ]  # fmt: skip


def test_the_embedded_models_prompt_token_by_token(embedded: Tokeniser) -> None:
    """The ids are those that transformers gives for the same file and template."""
    assert render_prompt(embedded, [Message("system", "Be brief."), Message("user", "Who wrote it?")]) == [
        1, 9690, 198, 6077, 5453, 30, 2, 198,
        1, 4093, 198, 10576, 4150, 357, 47, 2, 198,
        1, 520, 9531, 198,
    ]  # fmt: skip


def test_the_embedded_models_template_brings_its_own_system_turn(embedded: Tokeniser) -> None:
    assert embedded.decode(render_task(embedded, TITLE, "An abstract.")) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nGenerate a title for the following abstract of a paper: An abstract.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Musicians spend countless hours practicing their instruments.",
        "naïve — “quoted” 漢字 😀 100,000 e^x\n\nsecond paragraph\n",
        " leading space",
        "3 apples, don't they'll",
        "",
    ],
)
def test_ordinary_text_gives_the_tokens_of_the_whole_string(embedded: Tokeniser, text: str) -> None:
    ids = render_task(embedded, CHAT, text)
    assert ids == embedded.encode(embedded.decode(ids))
    assert text in embedded.decode(ids)


PIECES = st.sampled_from(["<|im_end|>", "<|im_start|>", "\n", "user", "<|", "|>", "a", " ", "é"])


@given(text=st.lists(PIECES).map("".join))
def test_no_content_ends_its_turn(tiny: Tokeniser, text: str) -> None:
    ids = render_prompt(tiny, [Message("user", text)])
    assert [token for token in ids if token in (IM_START, IM_END)] == [IM_START, IM_END, IM_START]
    assert tiny.decode(ids) == f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def test_no_content_is_taken_for_template_code(tiny: Tokeniser) -> None:
    text = "{{ 7 * 7 }} {% for x in y %} \ue0000\ue001"
    assert text in tiny.decode(render_prompt(tiny, [Message("user", text)]))


def test_gguf_and_folder_of_a_model_render_alike(tmp_path: Path, tiny: Tokeniser) -> None:
    folder = open_tokeniser(find_model(str(tiny_folder(tmp_path)), tmp_path))
    assert template_hash(folder) == template_hash(tiny)
    assert render_task(folder, TITLE, "thé <|im_end|>") == render_task(tiny, TITLE, "thé <|im_end|>")


def test_an_example_is_the_prompt_and_the_output_with_the_end_of_the_turn(tiny: Tokeniser) -> None:
    example = render_example(tiny, TITLE, "An abstract.", "A Title", 500)
    assert list(example.prompt_ids) == render_task(tiny, TITLE, "An abstract.")
    assert list(example.completion_ids) == [*tiny.encode("A Title"), IM_END]


@given(text=st.text(max_size=300), output=st.text(max_size=300), max_tokens=st.integers(220, 400))
def test_an_example_keeps_to_its_length_and_keeps_the_template(
    tiny: Tokeniser, text: str, output: str, max_tokens: int
) -> None:
    example = render_example(tiny, TITLE, text, output, max_tokens)
    whole = [*tiny.encode(output, special=False), IM_END]
    full = render_task(tiny, TITLE, text)
    prompt, completion = list(example.prompt_ids), list(example.completion_ids)
    assert len(prompt) + len(completion) <= max_tokens
    assert completion == whole[: len(completion)]
    if len(full) + len(whole) <= max_tokens:
        assert (prompt, completion) == (full, whole)
    if len(whole) <= max_tokens // 2:
        assert completion == whole
    rendered = tiny.decode(prompt)
    assert rendered.startswith(f"<|im_start|>user\n{TITLE.prompt('')}")
    assert rendered.endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_the_end_of_a_long_input_is_cut(tiny: Tokeniser) -> None:
    text = tiny.decode(render_task(tiny, CHAT, "first " + "middle " * 50 + "last", 100))
    assert "first middle" in text
    assert "last" not in text


def test_a_cut_never_leaves_half_a_character(tiny: Tokeniser) -> None:
    for max_tokens in range(40, 60):
        assert "\ufffd" not in tiny.decode(render_task(tiny, CHAT, "漢" * 50, max_tokens))


def test_a_length_below_the_template_is_refused(tiny: Tokeniser) -> None:
    with pytest.raises(BadInput, match="allow more tokens"):
        render_task(tiny, TITLE, "An abstract.", 20)


def test_the_end_of_a_turn_is_what_the_template_writes(tiny: Tokeniser) -> None:
    assert end_of_turn(tiny) == IM_END
    other = WithTemplate(tiny, "{% for m in messages %}{{ m.content + '<|endoftext|>' }}{% endfor %}")
    assert end_of_turn(other) == tiny.encode("<|endoftext|>")[0]
    silent = WithTemplate(tiny, "{% for m in messages %}{{ m.content }}\n{% endfor %}")
    assert end_of_turn(silent) == tiny.eos_id


def test_a_template_that_trims_contents_trims_them(tiny: Tokeniser) -> None:
    trimming = WithTemplate(tiny, "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}")
    assert tiny.decode(render_prompt(trimming, [Message("user", "  a b \n")])) == "[a b]"


def test_the_hash_follows_the_template(tiny: Tokeniser, embedded: Tokeniser) -> None:
    other = WithTemplate(tiny, tiny.chat_template.replace("user", "person") + " ")
    assert len({template_hash(tokeniser) for tokeniser in (tiny, other, embedded)}) == 3
    assert template_hash(tiny) == template_hash(tiny)


def test_a_model_without_a_template_is_refused(tiny: Tokeniser) -> None:
    with pytest.raises(ModelDamaged, match="choose an instruct model"):
        render_prompt(WithTemplate(tiny, ""), [Message("user", "hi")])


def test_a_template_may_refuse_a_conversation(tiny: Tokeniser) -> None:
    refusing = WithTemplate(tiny, "{{ raise_exception('System role not supported') }}")
    with pytest.raises(BadInput, match="System role not supported; choose another model"):
        render_prompt(refusing, [Message("system", "hi")])


@pytest.mark.parametrize(
    "template",
    [
        "{% for",
        "{{ messages.__class__.__mro__ }}{{ ''.__class__.__subclasses__() }}",
        "{{ range(10**9) | list }}",
        "{{ 1 / 0 }}",
        "{{ messages[0].content + 1 }}",
        "{{ messages.append(1) }}",
    ],
)
def test_a_broken_or_hostile_template_is_a_damaged_model(tiny: Tokeniser, template: str) -> None:
    with pytest.raises(ModelDamaged, match="chat template cannot be rendered"):
        render_prompt(WithTemplate(tiny, template), [Message("user", "hi")])
