"""Writing with a model: prompt ids in, text out piece by piece, with one of the person's adapters or with none.

An engine knows nothing of tasks, templates or stores: a prompt is a list of token ids (`app.device.rendering`).
There are two behind one seam: llama.cpp for GGUF files and transformers for safetensors folders.
"""

import dataclasses
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from app.device.catalogue import LocalModel

DEFAULT_CONTEXT = 2048
"""Tokens of prompt and answer together."""

Finish = Literal["end", "length", "stop"]
"""Why an answer ended: the model ended it, it reached max_tokens or the end of the context, or a stop text came."""


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 0.0
    """0 takes the most probable token; above that the probabilities are sharpened (< 1) or flattened (> 1)."""
    top_p: float = 0.95
    """Only the most probable tokens that together reach this probability are drawn from; 1 draws from all."""
    max_tokens: int = 128
    seed: int = 0
    """The same prompt, adapter, settings and seed give the same answer on the same computer."""
    repeat_penalty: float = 1.0
    """Above 1, the last 64 tokens of the answer become less probable."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """The next part of an answer: whole characters."""

    text: str
    tokens: int
    """Tokens of the answer up to here."""


@dataclasses.dataclass
class Account:
    """What an engine writes down about an answer on its way."""

    reused: int = 0
    """Tokens of the prompt that were still in memory and were not computed again."""
    token_ids: list[int] = dataclasses.field(default_factory=list)
    """The answer so far, without the token that ended it."""
    finish: Finish | None = None
    """None until the answer has ended."""


class Stream:
    """An answer on its way: iterate over it for its pieces, drop or close it at any time."""

    def __init__(
        self, pieces: Generator[Piece], adapter: str | None, account: Account | None = None, base: str | None = None
    ) -> None:
        self.adapter = adapter
        """Name of the adapter's folder that is really laid over the weights for this answer; None: the base."""
        self.base = base
        """Name of the task base's folder that is really laid under it; None: the bare model."""
        self.account = account or Account()
        self._pieces = pieces

    def __iter__(self) -> Self:
        """The stream itself."""
        return self

    def __next__(self) -> Piece:
        """The next piece; computes until there is a whole character."""
        return next(self._pieces)

    def close(self) -> None:
        """Ends the answer here; not while another thread reads from it."""
        self._pieces.close()


class Engine(Protocol):
    """A loaded model. Streams of base and adapters may be read in any order and interleaved, one thread at a time each.

    Nothing that an engine wrote before changes what it writes next.
    """

    def stream(
        self,
        prompt_ids: Sequence[int],
        adapter: Path | None,
        sampling: Sampling,
        base: Path | None = None,
        stop: Sequence[str] = (),
    ) -> Stream:
        """Begins an answer; `adapter` is an adapter's folder, `base` that of a task base which is added too.

        It ends before the first of the `stop` texts, which is not given out.

        Raises BadInput for a prompt that is too long and AdapterRefused for an adapter that does not fit.
        """

    def completion_logits(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> Any:
        """The bare model's logits before each token of a given answer: a float16 array [tokens, vocabulary]."""

    def close(self) -> None:
        """Frees the model; a stream that is read afterwards raises ModelClosed."""


def _core(cpu: int) -> str:
    """Something that logical CPUs of one physical core have in common; the CPU itself where Linux does not say."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def default_threads() -> int:
    """Physical cores that this process may use: a second thread on a core slows decoding down."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return len({_core(cpu) for cpu in allowed})


def open_engine(
    model: LocalModel, context: int = DEFAULT_CONTEXT, threads: int | None = None, cache: Path | None = None
) -> Engine:
    """Loads a model: llama.cpp for a GGUF file, transformers for a safetensors folder (NF4 where there is CUDA).

    Below `cache`, where it is given, small GGUF models are kept with adapters merged in, which is faster. Raises
    ModelDamaged.
    """
    if model.kind == "gguf":
        from app.device.llama_engine import LlamaEngine

        return LlamaEngine(model.path, context, threads or default_threads(), cache)
    from app.device.torch_engine import TorchEngine

    return TorchEngine(model, context, threads or default_threads())
