"""The engine for GGUF models: llama.cpp's own functions, one loaded model, a context for each set of adapters.

A context keeps the adapters that it began with, so nothing in its memory was computed with others, and base and
personal answers can be read side by side from the same weights. A small model may have adapters merged into weights of
their own in place of that (`app.device.merged`). Function names are those of llama.h.
"""

import codecs
import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.device.engines import Sampling
from app.device.llama_library import last_error, library, open_model, token_bytes
from app.device.merged import merged_file
from app.device.streaming import BLOCK, Block, Decoder, Sampler, StreamingEngine, Writer
from app.errors import AdapterRefused, BadInput

ADAPTER_FILE = "adapter.gguf"
_PENALTY_WINDOW = 64


class LlamaDecoder:
    """A llama.cpp context over the shared model."""

    def __init__(self, model: Any, adapters: Sequence[Path], context: int, threads: int) -> None:
        self._llama = library()
        # The context's graph is sized for the adapters that the model knows: the adapters have to come first.
        self._adapters = [self._load_adapter(model, adapter) for adapter in adapters]
        parameters = self._llama.llama_context_default_params()
        parameters.n_ctx = context
        parameters.n_batch = parameters.n_ubatch = BLOCK
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.no_perf = True
        self.context = self._llama.llama_init_from_model(model, parameters)
        if not self.context:
            raise BadInput(
                f"llama.cpp cannot set up a context of {context:,} tokens ({last_error() or 'no reason given'});"
                " choose a shorter context or a smaller model."
            )
        if adapters:
            self._lay_over(adapters)

    def _load_adapter(self, model: Any, adapter: Path) -> Any:
        loaded = self._llama.llama_adapter_lora_init(model, str(adapter).encode())
        if not loaded:
            raise AdapterRefused(
                f"The adapter {adapter.parent.name} should fit this model, but llama.cpp cannot load it"
                f" ({last_error() or 'no reason given'}); choose the model that it was trained on, or train it again."
            )
        return loaded

    def _lay_over(self, adapters: Sequence[Path]) -> None:
        """All of them in one call, which replaces whatever was set; llama.cpp adds their outputs up."""
        count = len(self._adapters)
        pointers = (self._llama.llama_adapter_lora_p_ctypes * count)(*self._adapters)
        scales = (ctypes.c_float * count)(*[1.0] * count)
        if self._llama.llama_set_adapters_lora(self.context, pointers, count, scales) != 0:
            names = " and ".join(adapter.parent.name for adapter in adapters)
            raise AdapterRefused(f"llama.cpp cannot lay the adapter {names} over the model; train it again.")

    def decode(self, block: Block) -> None:
        """See Decoder."""
        tokens = (self._llama.llama_token * len(block))(*block)
        status = self._llama.llama_decode(self.context, self._llama.llama_batch_get_one(tokens, len(block)))
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status} for {len(block)} tokens ({last_error()})")

    def keep(self, tokens: int) -> bool:
        """See Decoder."""
        memory = self._llama.llama_get_memory(self.context)
        if tokens and self._llama.llama_memory_seq_rm(memory, 0, tokens, -1):
            return True
        self._llama.llama_memory_clear(memory, False)
        return tokens == 0

    def read_logits(self) -> Any:
        """See Decoder."""
        import numpy as np

        vocabulary = self._llama.llama_model_get_vocab(self._llama.llama_get_model(self.context))
        size = int(self._llama.llama_vocab_n_tokens(vocabulary))
        return np.ctypeslib.as_array(self._llama.llama_get_logits_ith(self.context, -1), (size,)).copy()

    def close(self) -> None:
        """See Decoder."""
        self._llama.llama_free(self.context)
        for adapter in self._adapters:
            self._llama.llama_adapter_lora_free(adapter)


class MergedDecoder(LlamaDecoder):
    """A context over weights of its own, into which the adapters were merged."""

    def __init__(self, path: Path, context: int, threads: int) -> None:
        self._own = open_model(path)
        try:
            super().__init__(self._own, (), context, threads)
        except BadInput:
            library().llama_model_free(self._own)
            raise

    def close(self) -> None:
        """See Decoder."""
        super().close()
        self._llama.llama_model_free(self._own)


class LlamaSampler:
    """A chain of llama.cpp's samplers: repeat penalty, top-p, temperature, seeded draw; or the most probable token."""

    def __init__(self, sampling: Sampling, vocabulary_size: int) -> None:
        llama = self._llama = library()
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        if sampling.repeat_penalty != 1.0:
            penalty = (vocabulary_size, _PENALTY_WINDOW, sampling.repeat_penalty, 0.0, 0.0)
            self._add(llama.llama_sampler_init_penalties(*penalty))
        if sampling.temperature <= 0.0:
            self._add(llama.llama_sampler_init_greedy())
            return
        self._add(llama.llama_sampler_init_top_p(sampling.top_p, 1))
        self._add(llama.llama_sampler_init_temp(sampling.temperature))
        # The largest 32-bit seed means "a random one" to llama.cpp.
        self._add(llama.llama_sampler_init_dist(sampling.seed % 0xFFFFFFFF))

    def _add(self, sampler: Any) -> None:
        self._llama.llama_sampler_chain_add(self._chain, sampler)

    def choose(self, decoder: Decoder) -> int:
        """See Sampler."""
        assert isinstance(decoder, LlamaDecoder)
        return int(self._llama.llama_sampler_sample(self._chain, decoder.context, -1))

    def close(self) -> None:
        """See Sampler."""
        self._llama.llama_sampler_free(self._chain)


class LlamaWriter:
    """Collects the bytes of tokens until they are whole characters."""

    def __init__(self, vocabulary: Any) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """See Writer."""
        return self._decoder.decode(token_bytes(self._vocabulary, token, special=False))

    def rest(self) -> str:
        """See Writer."""
        return self._decoder.decode(b"", final=True)


class LlamaEngine(StreamingEngine):
    """A GGUF model in llama.cpp; see app.device.engines.Engine."""

    def __init__(self, path: Path, context: int, threads: int, cache: Path | None = None) -> None:
        self._llama = library()
        self._path, self._threads, self._cache = path, threads, cache
        self._model = open_model(path)
        self._vocabulary = self._llama.llama_model_get_vocab(self._model)
        super().__init__(min(context, int(self._llama.llama_model_n_ctx_train(self._model))))

    def _adapter_file(self, adapter: Path) -> Path:
        return adapter / ADAPTER_FILE

    def _open_decoder(self, adapters: Sequence[Path]) -> Decoder:
        file = merged_file(self._path, adapters, self._cache) if self._cache else None
        if file is not None:
            return MergedDecoder(file, self._context, self._threads)
        return LlamaDecoder(self._model, adapters, self._context, self._threads)

    def _open_sampler(self, sampling: Sampling) -> Sampler:
        return LlamaSampler(sampling, int(self._llama.llama_vocab_n_tokens(self._vocabulary)))

    def _open_writer(self) -> Writer:
        return LlamaWriter(self._vocabulary)

    def _is_end(self, token: int) -> bool:
        return bool(self._llama.llama_vocab_is_eog(self._vocabulary, token))

    def _free(self) -> None:
        self._llama.llama_model_free(self._model)
