"""Both engines on tiny random models, against transformers' own `generate` and against each other."""

import itertools
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from app.device.catalogue import EMBEDDED, LocalModel, find_model
from app.device.engines import Engine, Sampling, Stream, default_threads, open_engine
from app.device.llama_engine import LlamaEngine, LlamaWriter
from app.device.rendering import Message, render_prompt
from app.device.streaming import BLOCK, KEPT_MEMORIES, in_blocks
from app.device.tokenising import GgufTokeniser, Tokeniser, open_tokeniser
from app.device.torch_engine import TorchEngine, TorchWriter
from app.errors import AdapterRefused, BadInput, ModelClosed, ModelDamaged
from tests.device.random_adapter import random_adapter
from tests.tiny import CONTEXT, Architecture, tiny_folder, tiny_gguf

GREEDY = Sampling(max_tokens=24)
DRAWN = Sampling(temperature=1.0, top_p=0.9, max_tokens=24, seed=7)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def gguf_model(home: Path) -> LocalModel:
    return find_model(str(tiny_gguf(home)), home)


@pytest.fixture(scope="module")
def adapter(home: Path) -> Path:
    return random_adapter(home)


@pytest.fixture
def open_one(gguf_model: LocalModel) -> Iterator[Callable[[], Engine]]:
    opened: list[Engine] = []

    def open_another() -> Engine:
        opened.append(open_engine(gguf_model, threads=1))
        return opened[-1]

    yield open_another
    for engine in opened:
        engine.close()


def ask(tokeniser: Tokeniser, text: str) -> list[int]:
    return render_prompt(tokeniser, [Message("user", text)])


@pytest.fixture(scope="module")
def prompt(gguf_model: LocalModel) -> list[int]:
    return ask(open_tokeniser(gguf_model), "What the weather brought, and who was there. " * 4)


def finish(stream: Stream) -> tuple[list[int], str]:
    text = "".join(piece.text for piece in stream)
    return stream.account.token_ids, text


def generate(folder: Path, prompt_ids: Sequence[int], tokens: int) -> list[int]:
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    answer = model.generate(torch.tensor([list(prompt_ids)]), do_sample=False, max_new_tokens=tokens)
    ids: list[int] = answer[0, len(prompt_ids) :].tolist()
    return ids[:-1] if ids and ids[-1] == model.config.eos_token_id else ids


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_both_engines_write_the_greedy_tokens_of_transformers(home: Path, architecture: Architecture) -> None:
    gguf = find_model(str(tiny_gguf(home, architecture)), home)
    folder = find_model(str(tiny_folder(home, architecture)), home)
    ids = ask(open_tokeniser(gguf), "Tell me more. " * 12)
    expected = generate(folder.path, ids, GREEDY.max_tokens)
    for model in (gguf, folder):
        engine = open_engine(model, threads=1)
        assert finish(engine.stream(ids, None, GREEDY))[0] == expected
        engine.close()


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_the_gguf_adapter_writes_the_tokens_of_the_peft_adapter(home: Path, architecture: Architecture) -> None:
    laid_over = random_adapter(home, architecture)
    gguf = find_model(str(tiny_gguf(home, architecture)), home)
    folder = find_model(str(tiny_folder(home, architecture)), home)
    tokeniser = open_tokeniser(gguf)
    engines = [open_engine(model, threads=1) for model in (gguf, folder)]
    for number in range(20):
        ids = ask(tokeniser, f"Question {number}: " + "and so on " * number)
        written = [finish(engine.stream(ids, laid_over, Sampling(max_tokens=12))) for engine in engines]
        assert written[0] == written[1]
        assert written[0] != finish(engines[0].stream(ids, None, Sampling(max_tokens=12)))
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN])
def test_the_base_writes_the_same_with_an_adapter_loaded(
    open_one: Callable[[], Engine], prompt: list[int], adapter: Path, sampling: Sampling
) -> None:
    never, once = open_one(), open_one()
    finish(once.stream(prompt, adapter, sampling))
    assert finish(once.stream(prompt, None, sampling)) == finish(never.stream(prompt, None, sampling))


def test_a_stream_says_which_adapter_is_active(
    open_one: Callable[[], Engine], prompt: list[int], adapter: Path
) -> None:
    engine = open_one()
    assert engine.stream(prompt, adapter, GREEDY).adapter == adapter.name
    assert engine.stream(prompt, None, GREEDY).adapter is None


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN])
def test_interleaved_streams_write_what_they_write_alone(
    open_one: Callable[[], Engine], prompt: list[int], adapter: Path, sampling: Sampling
) -> None:
    chosen = [None, adapter, None, adapter]
    alone = [finish(open_one().stream(prompt, one, sampling)) for one in chosen]
    engine = open_one()
    streams = [engine.stream(prompt, one, sampling) for one in chosen]
    together = list(itertools.zip_longest(*streams))
    texts = ["".join(piece.text for piece in column if piece) for column in zip(*together, strict=True)]
    assert [(stream.account.token_ids, text) for stream, text in zip(streams, texts, strict=True)] == alone


def test_more_adapters_than_memories_can_be_interleaved(
    open_one: Callable[[], Engine], prompt: list[int], tmp_path: Path
) -> None:
    adapters = [random_adapter(tmp_path, seed=seed) for seed in range(KEPT_MEMORIES + 2)]
    short = Sampling(temperature=1.0, max_tokens=5)
    alone = [finish(open_one().stream(prompt, adapter, short))[0] for adapter in adapters]
    engine = open_one()
    streams = [engine.stream(prompt, adapter, short) for adapter in adapters]
    list(itertools.zip_longest(*streams))
    assert [stream.account.token_ids for stream in streams] == alone


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN])
def test_a_known_prefix_is_reused_and_changes_nothing(
    open_one: Callable[[], Engine], prompt: list[int], sampling: Sampling
) -> None:
    longer = prompt + prompt[:100]
    cold, warm = open_one(), open_one()
    finish(warm.stream(prompt, None, sampling))
    stream = warm.stream(longer, None, sampling)
    assert finish(stream) == finish(cold.stream(longer, None, sampling))
    assert stream.account.reused == len(prompt) // BLOCK * BLOCK > 0


def test_blocks_hold_the_prompt_in_order() -> None:
    prompt = list(range(2 * BLOCK + 5))
    blocks = in_blocks(prompt)
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 5]
    assert list(itertools.chain(*blocks)) == prompt


def test_a_seed_gives_the_same_answer_and_another_seed_another(
    open_one: Callable[[], Engine], prompt: list[int]
) -> None:
    engine = open_one()
    answers = [finish(engine.stream(prompt, None, Sampling(temperature=1.0, seed=seed))) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_a_high_repeat_penalty_keeps_tokens_from_coming_twice(
    open_one: Callable[[], Engine], home: Path, prompt: list[int]
) -> None:
    penalised = Sampling(max_tokens=24, repeat_penalty=1_000.0)
    engines = [open_one(), open_engine(find_model(str(tiny_folder(home)), home), threads=1)]
    written = [finish(engine.stream(prompt, None, penalised))[0] for engine in engines]
    engines[1].close()
    assert written[0] == written[1]
    assert len(set(written[0])) == len(written[0]) > 5


def test_a_dropped_stream_leaves_the_engine_free(open_one: Callable[[], Engine], prompt: list[int]) -> None:
    engine = open_one()
    expected = finish(engine.stream(prompt, None, DRAWN))
    dropped = engine.stream(prompt, None, DRAWN)
    next(dropped)
    del dropped
    assert finish(engine.stream(prompt, None, DRAWN)) == expected


def test_threads_may_read_streams_at_the_same_time(
    open_one: Callable[[], Engine], prompt: list[int], adapter: Path
) -> None:
    engine = open_one()
    chosen = [None, adapter, None]
    expected = [finish(engine.stream(prompt, one, DRAWN)) for one in chosen]
    written: dict[int, tuple[list[int], str]] = {}

    def read(number: int) -> None:
        written[number] = finish(engine.stream(prompt, chosen[number], DRAWN))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(chosen))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [written[number] for number in range(len(chosen))] == expected


def test_an_answer_ends_with_the_models_end_token_or_at_its_limit(
    open_one: Callable[[], Engine], prompt: list[int]
) -> None:
    engine = open_one()
    hot = [engine.stream(prompt, None, Sampling(temperature=9.0, top_p=1, max_tokens=400, seed=n)) for n in range(8)]
    for stream in hot:
        ids, _ = finish(stream)
        assert stream.account.finish == ("length" if len(ids) == 400 else "end")
    assert any(stream.account.finish == "end" for stream in hot)


@pytest.mark.parametrize("kind", ["gguf", "folder"])
def test_an_answer_ends_before_a_stop_text_however_the_tokens_cut_it(
    gguf_model: LocalModel, home: Path, prompt: list[int], kind: str
) -> None:
    model = gguf_model if kind == "gguf" else find_model(str(tiny_folder(home)), home)
    engine = open_engine(model, threads=1)
    whole = finish(engine.stream(prompt, None, GREEDY))[1]
    for start, end in ((3, 4), (5, 9), (len(whole) - 2, len(whole))):
        stop = whole[start:end]
        stream = engine.stream(prompt, None, GREEDY, stop=["never in it", stop])
        assert finish(stream)[1] == whole[: whole.index(stop)]
        assert stream.account.finish == "stop"
    begun = engine.stream(prompt, None, GREEDY, stop=[whole[-2:] + "more"])
    assert finish(begun)[1] == whole
    assert begun.account.finish == "length"
    engine.close()


def test_an_answer_that_is_closed_gives_no_more(open_one: Callable[[], Engine], prompt: list[int]) -> None:
    stream = open_one().stream(prompt, None, GREEDY)
    next(stream)
    stream.close()
    assert list(stream) == []


def test_an_answer_stops_where_the_context_ends(open_one: Callable[[], Engine]) -> None:
    stream = open_one().stream([5] * (CONTEXT - 3), None, GREEDY)
    assert len(finish(stream)[0]) == 3
    assert stream.account.finish == "length"


@pytest.mark.parametrize("length", [0, CONTEXT, CONTEXT + 1])
def test_a_prompt_that_leaves_no_room_is_refused(open_one: Callable[[], Engine], length: int) -> None:
    with pytest.raises(BadInput, match=r"shorten the text"):
        open_one().stream([5] * length, None, GREEDY)


def test_a_writer_gives_whole_characters_alone(home: Path, gguf_model: LocalModel) -> None:
    text = "née 😀 th 漢"
    gguf = GgufTokeniser(gguf_model.path)
    folder = open_tokeniser(find_model(str(tiny_folder(home)), home))
    for writer in (LlamaWriter(gguf._vocabulary), TorchWriter(folder)):
        parts = [writer.push(token) for token in gguf.encode(text)]
        assert "".join(parts) == text
        assert not any("\ufffd" in part for part in parts)
        assert writer.rest() == ""


def test_a_writer_marks_a_character_that_was_cut(gguf_model: LocalModel) -> None:
    gguf = GgufTokeniser(gguf_model.path)
    writer = LlamaWriter(gguf._vocabulary)
    assert [writer.push(token) for token in gguf.encode("😀")[:3]] == ["", "", ""]
    assert writer.rest() == "\ufffd"


def test_an_adapter_without_its_file_is_refused(
    open_one: Callable[[], Engine], prompt: list[int], tmp_path: Path
) -> None:
    with pytest.raises(AdapterRefused, match=r"has no file adapter\.gguf"):
        open_one().stream(prompt, tmp_path, GREEDY)


def test_an_adapter_for_another_model_is_refused(
    open_one: Callable[[], Engine], prompt: list[int], tmp_path: Path
) -> None:
    engine = open_one()
    with pytest.raises(AdapterRefused, match=r"should fit this model"):
        engine.stream(prompt, random_adapter(tmp_path, "qwen2"), GREEDY)
    assert finish(engine.stream(prompt, None, GREEDY))


def test_an_adapter_cut_short_is_refused(open_one: Callable[[], Engine], prompt: list[int], tmp_path: Path) -> None:
    file = random_adapter(tmp_path) / "adapter.gguf"
    file.write_bytes(file.read_bytes()[:-5_000])
    with pytest.raises(AdapterRefused, match=r"train it again"):
        open_one().stream(prompt, file.parent, GREEDY)


def test_an_adapter_that_was_trained_anew_is_read_anew(
    open_one: Callable[[], Engine], prompt: list[int], tmp_path: Path
) -> None:
    engine = open_one()
    folder, other = random_adapter(tmp_path, seed=1), random_adapter(tmp_path, seed=2)
    before = finish(engine.stream(prompt, folder, GREEDY))
    shutil.copy(other / "adapter.gguf", folder / "adapter.gguf")
    after = finish(engine.stream(prompt, folder, GREEDY))
    assert before != after == finish(engine.stream(prompt, other, GREEDY))


def test_a_closed_engine_writes_no_more(open_one: Callable[[], Engine], prompt: list[int]) -> None:
    engine = open_one()
    stream, not_begun = (engine.stream(prompt, None, GREEDY) for _ in range(2))
    next(stream)
    engine.close()
    engine.close()
    for left in (stream, not_begun):
        with pytest.raises(ModelClosed, match="write again"):
            next(left)
    with pytest.raises(ModelClosed, match="write again"):
        engine.stream(prompt, None, GREEDY)


def test_a_file_that_llama_cpp_cannot_load_is_a_damaged_model(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelDamaged, match=r"cdcda models pull"):
        LlamaEngine(path, 256, 1)


def test_the_torch_engine_keeps_base_and_adapters_apart(home: Path, prompt: list[int], tmp_path: Path) -> None:
    model = find_model(str(tiny_folder(home)), home)
    adapters = [None, random_adapter(tmp_path, seed=1), random_adapter(tmp_path, seed=2)]
    fresh = [open_engine(model, threads=1) for _ in adapters]
    alone = [finish(engine.stream(prompt, one, DRAWN)) for engine, one in zip(fresh, adapters, strict=True)]
    engine = open_engine(model, threads=1)
    streams = [engine.stream(prompt, one, DRAWN) for one in adapters]
    list(itertools.zip_longest(*streams))
    assert [stream.account.token_ids for stream in streams] == [ids for ids, _ in alone]
    assert len({tuple(ids) for ids, _ in alone}) == 3
    again = engine.stream(prompt, adapters[1], DRAWN)
    assert (finish(again), again.account.reused > 0) == (alone[1], True)


def test_the_torch_engine_writes_in_nf4(home: Path, prompt: list[int], adapter: Path) -> None:
    engine = TorchEngine(find_model(str(tiny_folder(home)), home), CONTEXT, 1, quantisation="nf4")
    answers = [finish(engine.stream(prompt, one, GREEDY)) for one in (None, adapter, None)]
    assert answers[0] == answers[2] != answers[1]


def test_a_damaged_safetensors_file_is_a_damaged_model(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1_000])
    with pytest.raises(ModelDamaged, match=r"copy the folder again"):
        open_engine(find_model(str(folder), tmp_path))


def test_threads_are_at_least_one() -> None:
    assert default_threads() >= 1


def test_the_embedded_model_writes_what_bare_llama_cpp_writes(tmp_path: Path) -> None:
    import llama_cpp

    model = find_model(EMBEDDED, tmp_path)
    ids = ask(open_tokeniser(model), "Write one sentence about the sea.")
    engine = open_engine(model, context=256)
    written = finish(engine.stream(ids, None, Sampling(max_tokens=16)))[1]
    engine.close()
    # The same blocks and the same attention kernel: others round otherwise, and near ties fall otherwise.
    bare = llama_cpp.Llama(str(model.path), n_ctx=256, n_batch=BLOCK, flash_attn=True, verbose=False)
    expected = bare.create_completion(ids, max_tokens=16, temperature=0.0, repeat_penalty=1.0)["choices"][0]["text"]
    bare.close()
    assert written == expected
    assert len(written) > 20
