"""Small models with adapters merged in write what the adapters laid over write, and are kept as files."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from app.device import merged
from app.device.adapters import GGUF_ADAPTER
from app.device.catalogue import LocalModel, find_model
from app.device.engines import Engine, Sampling, open_engine
from app.device.gguf_merging import merge
from app.device.merged import KEPT, merged_file, throw_away
from app.device.rendering import Message, render_prompt
from app.device.tokenising import open_tokeniser
from app.errors import AdapterRefused
from tests.device.random_adapter import random_adapter
from tests.tiny import HIDDEN, Architecture, tiny_gguf

GREEDY = Sampling(max_tokens=12)
Open = Callable[[LocalModel, Path | None], Engine]


@pytest.fixture
def model(tmp_path: Path) -> LocalModel:
    return find_model(str(tiny_gguf(tmp_path)), tmp_path)


@pytest.fixture
def open_one() -> Iterator[Open]:
    opened: list[Engine] = []

    def open_another(model: LocalModel, cache: Path | None) -> Engine:
        opened.append(open_engine(model, threads=1, cache=cache))
        return opened[-1]

    yield open_another
    for engine in opened:
        engine.close()


def adapters(folder: Path, count: int) -> list[Path]:
    return [random_adapter(folder, seed=seed) for seed in range(count)]


def written(engine: Engine, ids: Sequence[int], adapter: Path | None, base: Path | None = None) -> list[int]:
    stream = engine.stream(ids, adapter, GREEDY, base)
    list(stream)
    return stream.account.token_ids


def quantised(path: Path) -> Path:
    """By llama.cpp itself."""
    from app.device.llama_library import library

    llama, out = library(), path.with_name("quantised.gguf")
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = llama.LLAMA_FTYPE_MOSTLY_Q4_1
    assert llama.llama_model_quantize(str(path).encode(), str(out).encode(), parameters) == 0
    return out


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_merged_model_writes_what_adapters_laid_over_it_write(
    tmp_path: Path, open_one: Open, architecture: Architecture
) -> None:
    model = find_model(str(tiny_gguf(tmp_path, architecture)), tmp_path)
    one, other = (random_adapter(tmp_path, architecture, seed=seed) for seed in (0, 1))
    laid, quick = open_one(model, None), open_one(model, tmp_path / "cache")
    for number in range(10):
        ids = render_prompt(open_tokeniser(model), [Message("user", f"Question {number}: " + "so on " * number)])
        for adapter, base in ((one, None), (other, one), (None, one), (None, None)):
            assert written(quick, ids, adapter, base) == written(laid, ids, adapter, base)
    assert len(list((tmp_path / "cache" / "merged").iterdir())) == 2


def test_quantised_weights_that_change_are_kept_in_eight_bits(tmp_path: Path) -> None:
    import gguf
    import numpy as np

    base = quantised(tiny_gguf(tmp_path))
    adapter = random_adapter(tmp_path) / GGUF_ADAPTER
    merge(base, [adapter], tmp_path / "exact.gguf")
    merge(base, [adapter], tmp_path / "small.gguf", small=True)
    exact, small = (
        {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / name).tensors}
        for name in ("exact.gguf", "small.gguf")
    )
    changed = [name for name in exact if exact[name].tensor_type == gguf.GGMLQuantizationType.F16]
    assert "blk.0.ffn_down.weight" in changed
    for name in changed:
        assert small[name].tensor_type == gguf.GGMLQuantizationType.Q8_0
        values = [gguf.quants.dequantize(found[name].data, found[name].tensor_type) for found in (exact, small)]
        assert np.abs(values[0] - values[1]).max() <= np.abs(values[0]).max() / 200


def test_file_is_made_once_and_named_by_what_it_was_made_of(tmp_path: Path, model: LocalModel) -> None:
    one, other = (folder / GGUF_ADAPTER for folder in adapters(tmp_path, 2))
    first = merged_file(model.path, [one], tmp_path)
    assert first is not None
    made = first.stat().st_ino
    assert merged_file(model.path, [one], tmp_path) == first
    assert first.stat().st_ino == made
    moved = one.with_name("moved.gguf")
    one.rename(moved)
    assert merged_file(model.path, [moved], tmp_path) == first
    assert (
        len({first, merged_file(model.path, [other], tmp_path), merged_file(model.path, [moved, other], tmp_path)}) == 3
    )


def test_only_those_used_last_stay(tmp_path: Path, model: LocalModel) -> None:
    files = []
    for number, folder in enumerate(adapters(tmp_path, KEPT + 1)):
        files.append(merged_file(model.path, [folder / GGUF_ADAPTER], tmp_path))
        os.utime(str(files[-1]), (number + 1, number + 1))
    files.append(merged_file(model.path, [random_adapter(tmp_path, seed=99) / GGUF_ADAPTER], tmp_path))
    assert [file for file in files if file and file.is_file()] == files[-KEPT:]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_makes_stays(
    tmp_path: Path, model: LocalModel
) -> None:
    folder = tmp_path / "merged"
    folder.mkdir()
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    killed, old, ours = (folder / f".merging-{name}" for name in (f"{gone.pid}-a", "of-before", f"{os.getpid()}-b"))
    for file in (killed, old, ours):
        file.touch()
    os.utime(old, (time.time() - 7 * 3600,) * 2)
    merged_file(model.path, [random_adapter(tmp_path) / GGUF_ADAPTER], tmp_path)
    assert list(folder.glob(".*")) == [ours]


def test_large_model_has_its_adapters_laid_over(
    tmp_path: Path, model: LocalModel, open_one: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged, "SMALL", model.path.stat().st_size - 1)
    adapter = random_adapter(tmp_path)
    assert written(open_one(model, tmp_path / "cache"), [5, 6], adapter) == written(
        open_one(model, None), [5, 6], adapter
    )
    assert not (tmp_path / "cache").exists()


def test_without_room_for_the_file_the_adapter_is_laid_over(tmp_path: Path, model: LocalModel, open_one: Open) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be", "utf-8")
    adapter = random_adapter(tmp_path)
    assert written(open_one(model, tmp_path / "cache"), [5, 6], adapter) == written(
        open_one(model, None), [5, 6], adapter
    )


def test_adapter_of_another_model_is_refused_and_nothing_stays(tmp_path: Path, model: LocalModel) -> None:
    import gguf
    import numpy as np

    path = tmp_path / "strange.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 1.0)
    writer.add_tensor("blk.0.attn_q.weight.lora_a", np.zeros((1, 2 * HIDDEN), np.float32))
    writer.add_tensor("blk.0.attn_q.weight.lora_b", np.zeros((HIDDEN, 1), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(AdapterRefused, match=r"changes blk\.0\.attn_q\.weight"):
        merged_file(model.path, [path], tmp_path)
    assert list((tmp_path / "merged").iterdir()) == []


def test_damaged_adapter_is_refused(tmp_path: Path, model: LocalModel, open_one: Open) -> None:
    adapter = random_adapter(tmp_path)
    file = adapter / GGUF_ADAPTER
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(AdapterRefused, match="cannot be read as one"):
        open_one(model, tmp_path).stream([5, 6], adapter, GREEDY)


def test_thrown_away_files_are_gone(tmp_path: Path, model: LocalModel) -> None:
    merged_file(model.path, [random_adapter(tmp_path) / GGUF_ADAPTER], tmp_path)
    throw_away(tmp_path)
    assert list((tmp_path / "merged").iterdir()) == []
    throw_away(tmp_path / "nothing")
