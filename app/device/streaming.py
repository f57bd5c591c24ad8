"""What both engines share: which tokens are in a KV memory, and the loop that turns sampled tokens into text.

Tokens are computed in blocks: a prompt in blocks of 64 from its beginning, an answer token by token. How a sum of
floats rounds depends on how many tokens are computed together, so memory is only reused in the blocks in which it
would be computed afresh. An answer is therefore a function of prompt, adapter, settings and seed alone: what was
written before can make it come faster, never other.
"""

import abc
import collections
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

from app.device.engines import Account, Piece, Sampling, Stream
from app.device.stopping import StopWatch
from app.errors import AdapterRefused, BadInput, ModelClosed

BLOCK = 64
"""Tokens of a prompt that are computed together: most of the speed of long batches, little to compute again."""

KEPT_MEMORIES = 3
"""KV memories kept beside the bare model's, one for each Layers; the one that was not used for longest goes first."""

Block = tuple[int, ...]

Layers = tuple[tuple[Path, int], ...]
"""The adapter files that are added to the weights, the task base's first, each with its time: one that was trained
anew is read anew. Empty: the bare model."""


class Decoder(Protocol):
    """Loaded weights with the adapters of one Layers added, and a KV memory of its own."""

    def decode(self, block: Block) -> None:
        """Computes a block after what is in memory; the last token's logits can then be sampled from."""

    def keep(self, tokens: int) -> bool:
        """Forgets everything after the first tokens; False: it could only forget all, and did."""

    def read_logits(self) -> Any:
        """The last token's logits as a float32 array of its own, [vocabulary]."""

    def close(self) -> None:
        """Frees the memory, and the adapters with it."""


class Sampler(Protocol):
    """Chooses tokens for one answer."""

    def choose(self, decoder: Decoder) -> int:
        """The next token, from the logits that the decoder computed last."""

    def close(self) -> None:
        """Frees what it holds."""


class Writer(Protocol):
    """Turns the tokens of one answer into text."""

    def push(self, token: int) -> str:
        """The characters that this token completes."""

    def rest(self) -> str:
        """What an answer that was cut inside a character leaves."""


def in_blocks(prompt_ids: Sequence[int]) -> list[Block]:
    """The prompt in the blocks in which it is computed."""
    return [tuple(prompt_ids[start : start + BLOCK]) for start in range(0, len(prompt_ids), BLOCK)]


class Memory:
    """A decoder and the blocks that are in its KV memory."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._blocks: list[Block] = []
        self._plan: list[Block] | None = None

    def _common(self, plan: list[Block]) -> int:
        """Leading blocks that are in memory; never the last of the plan, whose logits are needed."""
        limit = min(len(self._blocks), len(plan) - 1)
        return next((index for index in range(limit) if self._blocks[index] != plan[index]), limit)

    def _keep(self, blocks: int) -> None:
        kept = self._blocks[:blocks]
        self._blocks = kept if self.decoder.keep(sum(map(len, kept))) else []

    def _decode(self, block: Block) -> None:
        try:
            self.decoder.decode(block)
        except BaseException:
            # A part of the block may be in memory: nothing that is there can be trusted.
            self._plan, self._blocks = None, []
            self.decoder.keep(0)
            raise
        self._blocks.append(block)

    def catch_up(self, plan: list[Block]) -> int:
        """Brings the plan's blocks into memory, also where another answer used it meanwhile; the tokens reused."""
        if self._plan is not plan:
            self._keep(self._common(plan))
            self._plan = plan
        reused = sum(map(len, self._blocks))
        for block in plan[len(self._blocks) :]:
            self._decode(block)
        return reused


class StreamingEngine(abc.ABC):
    """An engine over decoders: the bare model's, kept once it was used, and those of the Layers used last."""

    def __init__(self, context: int) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._closed = False
        self._memories: collections.OrderedDict[Layers, Memory] = collections.OrderedDict()

    @abc.abstractmethod
    def _open_decoder(self, adapters: Sequence[Path]) -> Decoder:
        """A decoder with those adapter files added to the weights; raises AdapterRefused."""

    @abc.abstractmethod
    def _adapter_file(self, adapter: Path) -> Path:
        """Which file of an adapter's folder this engine reads."""

    @abc.abstractmethod
    def _open_sampler(self, sampling: Sampling) -> Sampler:
        """A sampler for one answer."""

    @abc.abstractmethod
    def _open_writer(self) -> Writer:
        """A writer for one answer."""

    @abc.abstractmethod
    def _is_end(self, token: int) -> bool:
        """Whether the token ends an answer."""

    @abc.abstractmethod
    def _free(self) -> None:
        """Frees the weights; the decoders are already closed."""

    def _layer(self, adapter: Path) -> tuple[Path, int]:
        file = self._adapter_file(adapter)
        if not file.is_file():
            raise AdapterRefused(
                f"The adapter {adapter.name} has no file {file.name}: it is unfinished or was changed; train it again."
            )
        return file, file.stat().st_mtime_ns

    def _require_open(self) -> None:
        if self._closed:
            raise ModelClosed("The model was closed, as another was chosen or the program ends; write again.")

    def _memory(self, key: Layers) -> Memory:
        self._require_open()
        if key not in self._memories:
            self._make_room()
            self._memories[key] = Memory(self._open_decoder([file for file, _ in key]))
        self._memories.move_to_end(key)
        return self._memories[key]

    def _make_room(self) -> None:
        layered = [key for key in self._memories if key]
        if len(layered) >= KEPT_MEMORIES:
            self._memories.pop(layered[0]).decoder.close()

    def _open_answer(self, sampling: Sampling) -> tuple[Writer, Sampler]:
        with self._lock:
            self._require_open()
            return self._open_writer(), self._open_sampler(sampling)

    def _next(
        self, key: Layers, plan: list[Block], sampler: Sampler, writer: Writer, account: Account
    ) -> tuple[int, str] | None:
        """The next token and the characters that it completes; None where the answer ends."""
        # The model stays open for all of it: its vocabulary is read too.
        with self._lock:
            memory = self._memory(key)
            reused = memory.catch_up(plan)
            if not account.token_ids:
                account.reused = reused
            token = sampler.choose(memory.decoder)
            return None if self._is_end(token) else (token, writer.push(token))

    def _pieces(
        self, key: Layers, prompt_ids: Sequence[int], sampling: Sampling, account: Account, watch: StopWatch
    ) -> Generator[Piece]:
        """The loop of one answer. The lock is held for a token at a time and never while a piece is handed out."""
        plan, ids = in_blocks(prompt_ids), account.token_ids
        limit = min(sampling.max_tokens, self._context - len(prompt_ids))
        writer, sampler = self._open_answer(sampling)
        try:
            while len(ids) < limit and not watch.found:
                written = self._next(key, plan, sampler, writer, account)
                if written is None:
                    account.finish = "end"
                    break
                token, text = written
                ids.append(token)
                plan.append((token,))
                if text := watch.push(text):
                    yield Piece(text, len(ids))
            if text := watch.push(writer.rest()) + watch.rest():
                yield Piece(text, len(ids))
            account.finish = "stop" if watch.found else account.finish or "length"
        finally:
            sampler.close()

    def stream(
        self,
        prompt_ids: Sequence[int],
        adapter: Path | None,
        sampling: Sampling,
        base: Path | None = None,
        stop: Sequence[str] = (),
    ) -> Stream:
        """Begins an answer; see Engine."""
        if not 0 < len(prompt_ids) < self._context:
            raise BadInput(
                f"The prompt has {len(prompt_ids):,} tokens but there is room for 1 to {self._context - 1:,} and an"
                " answer; shorten the text."
            )
        key = tuple(self._layer(folder) for folder in (base, adapter) if folder is not None)
        with self._lock:
            self._memory(key)
        account = Account()
        pieces = self._pieces(key, tuple(prompt_ids), sampling, account, StopWatch(stop))
        return Stream(pieces, adapter.name if adapter else None, account, base.name if base else None)

    def completion_logits(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> Any:
        """What the bare model thinks of a given answer; see Engine."""
        import numpy as np

        plan, rows = in_blocks(prompt_ids), []
        for token in completion_ids:
            with self._lock:
                memory = self._memory(())
                memory.catch_up(plan)
                rows.append(memory.decoder.read_logits().astype(np.float16))
            plan.append((token,))
        return np.stack(rows)

    def close(self) -> None:
        """Frees the model; see Engine."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for memory in self._memories.values():
                memory.decoder.close()
            self._memories.clear()
            self._free()
