"""llama.cpp opened as a library."""

from pathlib import Path
from typing import Any

import pytest

from cloud_stub.llama_library import built_for_amx, library, open_model
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
