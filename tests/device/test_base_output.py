"""The base with the adapter off, byte for byte what a process writes that never loaded an adapter."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.device import weights
from app.device.catalogue import EMBEDDED, find_model
from tests.benchmarks.serving import write_adapter
from tests.device.random_adapter import random_adapter
from tests.tiny import tiny_folder, tiny_gguf

WRITES = """
import pathlib, sys
from app.device.catalogue import find_model
from app.device.engines import Sampling, open_engine
from app.device.rendering import Message, render_prompt
from app.device.tokenising import open_tokeniser

model, adapters = find_model(sys.argv[1], pathlib.Path(".")), [pathlib.Path(name) for name in sys.argv[2:]]
engine, tokeniser = open_engine(model, threads=1), open_tokeniser(model)
drawn = Sampling(temperature=1.0, max_tokens=24, seed=3)
for number in range(4):
    ids = render_prompt(tokeniser, [Message("user", "Tell me about the sea. " * (1 + 5 * number))])
    for adapter in adapters:
        print("".join(piece.text for piece in engine.stream(ids, adapter, drawn)), file=sys.stderr)
    for sampling in (Sampling(max_tokens=24), drawn):
        for piece in engine.stream(ids, None, sampling):
            sys.stdout.buffer.write(piece.text.encode() + b"\\0")
"""


def written(model: Path | str, *adapters: Path) -> tuple[bytes, bytes]:
    """What a process of its own writes with the base, and beside it with adapters."""
    command = [sys.executable, "-c", WRITES, str(model), *map(str, adapters)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).resolve().parents[2])
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gguf", "folder"])
def test_the_base_is_the_same_beside_an_adapter_as_where_there_never_was_one(tmp_path: Path, kind: str) -> None:
    model = tiny_gguf(tmp_path) if kind == "gguf" else tiny_folder(tmp_path)
    adapters = [random_adapter(tmp_path, seed=seed) for seed in (1, 2)]
    never, _ = written(model)
    beside, personal = written(model, *adapters)
    assert beside == never
    assert len(never) > 200
    assert len(personal) > 100


@pytest.mark.slow
def test_the_embedded_base_is_the_same_beside_an_adapter(tmp_path: Path) -> None:
    prepared = weights.prepare(find_model(EMBEDDED, tmp_path), tmp_path / "prepared", lambda _: None)
    adapter = write_adapter(prepared, tmp_path / "adapter", seed=0)
    never, _ = written(EMBEDDED)
    beside, personal = written(EMBEDDED, adapter)
    assert beside == never
    assert len(personal) > 100
