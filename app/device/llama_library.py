"""llama.cpp as a quiet library: loaded once, nothing printed, models opened with one sentence when they cannot be.

What is returned are llama.cpp's own pointers; who opens one frees it. Function names are those of llama.h.
"""

import collections
import functools
import threading
from pathlib import Path
from typing import Any

from app.device.threads import share_cores
from app.errors import ModelDamaged

_ERROR_LEVEL = 4
_USUAL_PIECE = 64
"""Bytes that nearly every token has room in."""
_last_errors: collections.deque[str] = collections.deque(maxlen=1)
_loading = threading.Lock()


@functools.cache
def _loaded() -> Any:
    import ctypes

    share_cores()
    from llama_cpp import llama_cpp

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def keep_errors(level: int, text: bytes, _: Any) -> None:
        if level == _ERROR_LEVEL:
            _last_errors.append(text.decode("utf-8", "replace").strip())

    llama_cpp.llama_log_set(keep_errors, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    # llama.cpp holds the bare pointer: without a reference the callback would be collected.
    llama_cpp.cdcda_log_callback = keep_errors
    return llama_cpp


def library() -> Any:
    """The ctypes module of llama.cpp, its log silenced; the last error line is kept for messages."""
    # Two threads that come first together would each set a log callback, and the one that is set might be collected.
    with _loading:
        return _loaded()


def last_error() -> str:
    """What llama.cpp logged as its last error, or nothing."""
    return _last_errors[-1] if _last_errors else ""


def built_for_amx() -> bool:
    """Whether llama.cpp holds code for AMX, which is then left alone: it may end the process at the first token.

    GCC 12 leaves most of the tile configuration out, and later threads may lack the permission to use tiles
    (ggml-org/llama.cpp, issue 20824 and pull request 26954). Built by Clang 16 it works until PyTorch multiplies in
    bfloat16 in the same process, which gives the tiles back. The README's installation leaves that code out, in C and
    C++: where the C part alone says that it is there, faster layouts of the weights would be left alone for nothing.
    """
    return b"AMX_INT8 = 1" in library().llama_print_system_info()


def open_model(path: Path, *, vocabulary_only: bool = False) -> Any:
    """Pointer to a loaded GGUF model, on the GPU where llama.cpp was built for one; raises ModelDamaged."""
    llama = library()
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = vocabulary_only
    parameters.use_extra_bufts = not built_for_amx()
    parameters.load_mode = llama.LLAMA_LOAD_MODE_MMAP
    parameters.n_gpu_layers = -1 if llama.llama_supports_gpu_offload() and not vocabulary_only else 0
    _last_errors.clear()
    model = llama.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        reason = last_error() or "no reason given"
        raise ModelDamaged(
            f"{path} should be a GGUF model that llama.cpp can load, but it cannot ({reason}); fetch it again with"
            " `cdcda models pull`, or choose another from `cdcda models list`."
        )
    return model


def token_bytes(vocabulary: Any, token: int, special: bool) -> bytes:
    """The bytes of a token, which need not be whole characters; nothing for a special token unless asked for."""
    import ctypes

    size = _USUAL_PIECE
    while True:
        buffer = ctypes.create_string_buffer(size)
        written = int(library().llama_token_to_piece(vocabulary, token, buffer, size, 0, special))
        if written >= 0:
            return buffer.raw[:written]
        size = -written
