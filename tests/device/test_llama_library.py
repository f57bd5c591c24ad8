"""llama.cpp opened as a library."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.device.llama_library import built_for_amx, library, open_model
from tests.tiny import tiny_gguf


@pytest.mark.parametrize(("info", "amx"), [(b"CPU : AVX2 = 1 | AMX_INT8 = 1 | ", True), (b"CPU : AVX2 = 1 | ", False)])
def test_amx_code_is_left_alone_where_it_was_built_in(
    info: bytes, amx: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama, given = library(), []
    load = llama.llama_model_load_from_file

    def keep(path: bytes, parameters: Any) -> Any:
        given.append(bool(parameters.use_extra_bufts))
        return load(path, parameters)

    monkeypatch.setattr(llama, "llama_print_system_info", lambda: info)
    monkeypatch.setattr(llama, "llama_model_load_from_file", keep)
    llama.llama_model_free(open_model(tiny_gguf(tmp_path)))
    assert built_for_amx() is amx
    assert given == [not amx]


@pytest.mark.parametrize("module", ["app.device.llama_library", "cloud_stub.llama_library"])
def test_threads_that_come_first_together_set_one_log_callback(module: str, tmp_path: Path) -> None:
    """Each set its own: llama.cpp kept the last one's pointer, the module another, and what was collected crashed."""
    program = """
import gc, importlib, sys, threading
from pathlib import Path
import llama_cpp.llama_cpp as llama
library, open_model = (getattr(importlib.import_module(sys.argv[2]), name) for name in ('library', 'open_model'))

set_log, callbacks, together = llama.llama_log_set, [], threading.Barrier(8)

def slowly(callback, data):
    callbacks.append(id(callback))
    threading.Event().wait(0.2)
    set_log(callback, data)

llama.llama_log_set = slowly

def open_one():
    together.wait()
    library().llama_model_free(open_model(Path(sys.argv[1]), vocabulary_only=True))

threads = [threading.Thread(target=open_one) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.collect()
library().llama_model_free(open_model(Path(sys.argv[1]), vocabulary_only=True))
print(len(callbacks))
"""
    command = [sys.executable, "-c", program, str(tiny_gguf(tmp_path)), module]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
