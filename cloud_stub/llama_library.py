"""llama.cpp as a quiet library: the vocabulary of a model, and a context that decodes many sequences at once.

Only token ids and pieces of text pass through here; it knows no prompt and no sample. Function names are those of
llama.h.
"""

import collections
import ctypes
import functools
import os
import pathlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy

from cloud_stub.errors import ModelNotUsable

BLOCK = 256
"""Tokens that are read at once."""
LONGEST_PIECE = 512
"""Bytes; the longest token of the vocabularies known is 256 spaces."""
PLACE = "\ue000"
"""A private-use character that stands for the content while a chat template is rendered."""

Logits = numpy.ndarray[Any, numpy.dtype[numpy.float32]]

_ERROR_LEVEL = 4
_last_errors: collections.deque[str] = collections.deque(maxlen=1)
_loading = threading.Lock()


@functools.cache
def _loaded() -> Any:
    # Threads that spin long while they wait for each other make llama.cpp many times slower as soon as anything else
    # wants the processors. OpenMP reads this once, when it is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    from llama_cpp import llama_cpp

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def keep_errors(level: int, text: bytes, _: Any) -> None:
        if level == _ERROR_LEVEL:
            _last_errors.append(text.decode("utf-8", "replace").strip())

    llama_cpp.llama_log_set(keep_errors, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    # llama.cpp holds the bare pointer: without a reference the callback would be collected.
    llama_cpp.cdcda_cloud_log_callback = keep_errors
    return llama_cpp


def library() -> Any:
    """The ctypes module of llama.cpp, its log silenced; the last error line is kept for messages."""
    # Two threads that come first together would each set a log callback, and the one that is set might be collected.
    with _loading:
        return _loaded()


def built_for_amx() -> bool:
    """Whether llama.cpp holds code for AMX, which is then left alone: it may end the process at the first token.

    GCC 12 leaves most of the tile configuration out, and later threads may lack the permission to use tiles
    (ggml-org/llama.cpp, issue 20824 and pull request 26954). Built by Clang 16 it works until PyTorch multiplies in
    bfloat16 in the same process, which gives the tiles back. The README's installation leaves that code out, in C and
    C++: where the C part alone says that it is there, faster layouts of the weights would be left alone for nothing.
    """
    return b"AMX_INT8 = 1" in library().llama_print_system_info()


def open_model(path: pathlib.Path, *, vocabulary_only: bool = False) -> Any:
    """Pointer to a loaded GGUF model, which who opens it frees; raises ModelNotUsable.

    With the vocabulary alone it takes a fraction of a second, and a file that was cut short is found out all the same.
    """
    llama = library()
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = vocabulary_only
    parameters.use_extra_bufts = not built_for_amx()
    _last_errors.clear()
    model = llama.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        reason = _last_errors[-1].removeprefix("llama_model_load: ") if _last_errors else "no reason given"
        raise ModelNotUsable(
            f"The model {path} should be a GGUF file that llama.cpp can load, but it cannot ({reason.rstrip('.')});"
            " fetch it again or name another with --model."
        )
    return model


def check_model(path: pathlib.Path) -> None:
    """Raise ModelNotUsable unless llama.cpp can make out the whole file."""
    library().llama_model_free(open_model(path, vocabulary_only=True))


class Vocabulary:
    """The tokens of a model and its chat template."""

    def __init__(self, model: Any) -> None:
        self._llama = library()
        self._model = model
        self._pointer = self._llama.llama_model_get_vocab(model)
        self._buffer = ctypes.create_string_buffer(LONGEST_PIECE)
        self.size = int(self._llama.llama_vocab_n_tokens(self._pointer))

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of a text; only with `special` does the name of a special token stand for it."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        ids = (self._llama.llama_token * room)()
        count = self._llama.llama_tokenize(self._pointer, data, len(data), ids, room, False, special)
        return list(ids[: max(0, count)])

    def begun(self, ids: list[int]) -> list[int]:
        """The ids after the token that opens a text, where the model wants one and they lack it."""
        first = int(self._llama.llama_vocab_bos(self._pointer))
        if not self._llama.llama_vocab_get_add_bos(self._pointer) or ids[:1] == [first]:
            return ids
        return [first, *ids]

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a special token."""
        size = self._llama.llama_token_to_piece(self._pointer, token, self._buffer, LONGEST_PIECE, 0, False)
        return bytes(self._buffer.raw[: max(size, 0)])

    def ends(self, token: int) -> bool:
        """Whether a token ends a turn, or is another mark of the template that no text holds."""
        llama = self._llama
        return bool(
            llama.llama_vocab_is_eog(self._pointer, token) or llama.llama_vocab_is_control(self._pointer, token)
        )

    def enders(self) -> frozenset[int]:
        """Every token that ends a turn or holds a line end."""
        return frozenset(token for token in range(self.size) if self.ends(token) or b"\n" in self.piece(token))

    def _name(self, token: int) -> str:
        return self._llama.llama_vocab_get_text(self._pointer, token).decode("utf-8", "replace") if token >= 0 else ""

    def turns(self, demonstrations: int = 0) -> tuple[str, ...] | None:
        """What the model's template puts around the turns of a chat, from its start to that of the next answer.

        The chat is so many turns of user and assistant, then one of the user: 2 * demonstrations + 2 pieces with the
        contents of the turns between them. None for a model that has no template. Raises ModelNotUsable when the
        template cannot be rendered.
        """
        template = self._llama.llama_model_chat_template(self._model, None)
        if not template:
            return None
        first, last = self._llama.llama_vocab_bos(self._pointer), self._llama.llama_vocab_eos(self._pointer)
        roles = ["user", "assistant"] * demonstrations + ["user"]
        text = _render(template.decode("utf-8", "replace"), self._name(first), self._name(last), roles)
        pieces = tuple(text.split(PLACE))
        if len(pieces) != len(roles) + 1:
            raise ModelNotUsable("The model's chat template leaves a turn out; name another model with --model.")
        return pieces


def _render(template: str, first: str, last: str, roles: Sequence[str]) -> str:
    import jinja2
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    try:
        formatter = Jinja2ChatFormatter(template, eos_token=last, bos_token=first)
        return str(formatter(messages=[{"role": role, "content": PLACE} for role in roles]).prompt)
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        raise ModelNotUsable(
            f"The model's chat template cannot be rendered ({error}); name another model with --model."
        ) from error


class Context:
    """A model's working memory: sequences of tokens that can share a beginning."""

    def __init__(self, model: Any, tokens: int, sequences: int, threads: int) -> None:
        llama = self._llama = library()
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = tokens
        parameters.n_batch = parameters.n_ubatch = BLOCK
        parameters.n_seq_max = sequences
        # One pool of cells: sequences that share a prompt share its cells.
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.no_perf = True
        self._pointer = llama.llama_init_from_model(model, parameters)
        if not self._pointer:
            raise ModelNotUsable(
                f"llama.cpp cannot set up a context of {tokens:,} tokens, probably because memory is short; close other"
                " programs or name a smaller model with --model."
            )
        self._size = int(llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model)))
        self._memory = llama.llama_get_memory(self._pointer)
        self._batch = llama.llama_batch_init(BLOCK, 0, 1)
        self._cells: list[list[int]] = [[] for _ in range(sequences)]
        """Of each sequence, a number for each token's cell; sequences that share a beginning share its cells."""
        self._read_so_far = 0

    def read(self, given: Iterable[tuple[int, Sequence[int]]]) -> list[Logits]:
        """Append tokens to sequences; the logits after the last token of each, in that order.

        The logits are llama.cpp's own memory and are overwritten by the next call. At most BLOCK tokens in all.
        """
        batch, count = self._batch, 0
        lasts: list[int] = []
        for sequence, tokens in given:
            for token in tokens:
                batch.token[count] = token
                batch.pos[count] = len(self._cells[sequence])
                batch.n_seq_id[count] = 1
                batch.seq_id[count][0] = sequence
                batch.logits[count] = 0
                self._cells[sequence].append(self._read_so_far + count)
                count += 1
            lasts.append(count - 1)
            batch.logits[count - 1] = 1
        batch.n_tokens = count
        self._read_so_far += count
        status = self._llama.llama_decode(self._pointer, batch)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status} for {count} tokens")
        return [self._logits(place) for place in lasts]

    def _logits(self, place: int) -> Logits:
        pointer = self._llama.llama_get_logits_ith(self._pointer, place)
        return numpy.ctypeslib.as_array(pointer, shape=(self._size,))

    def copy(self, source: int, target: int) -> None:
        """Make one sequence the same as another; takes no room of its own."""
        self.drop(target)
        self._llama.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self._cells[target] = list(self._cells[source])

    def drop(self, sequence: int) -> None:
        """Empty a sequence."""
        self._llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        self._cells[sequence] = []

    def cut(self, sequence: int, length: int) -> None:
        """Drop what a sequence holds after its first `length` tokens."""
        self._llama.llama_memory_seq_rm(self._memory, sequence, length, -1)
        del self._cells[sequence][length:]

    def clear(self) -> None:
        """Empty all sequences."""
        self._llama.llama_memory_clear(self._memory, False)
        self._cells = [[] for _ in self._cells]

    def length(self, sequence: int) -> int:
        """How many tokens a sequence holds."""
        return len(self._cells[sequence])

    def used(self) -> int:
        """How many tokens all sequences hold, those that they share counted once."""
        return len(set().union(*self._cells))

    def close(self) -> None:
        """Free the memory."""
        self._llama.llama_batch_free(self._batch)
        self._llama.llama_free(self._pointer)
