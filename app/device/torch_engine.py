"""The engine for safetensors folders: transformers, in NF4 on a CUDA GPU, with PEFT adapters switched over one model.

Slower than llama.cpp on a CPU; it is there for GPUs, and as the yardstick that the other engine is checked against.
Torch and transformers are imported when an engine is opened, not before.
"""

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from app.device.catalogue import LocalModel
from app.device.engines import Sampling
from app.device.streaming import Block, Decoder, Sampler, StreamingEngine, Writer
from app.device.threads import share_cores
from app.device.tokenising import Tokeniser, open_tokeniser
from app.errors import AdapterRefused, ModelDamaged

ADAPTER_FILE = "adapter_model.safetensors"
_PENALTY_WINDOW = 64


def _keep_nf4_layout(model: Any) -> None:
    """Keeps bitsandbytes from repacking NF4 weights for a CPU.

    In 0.50 that breaks the model: once anything asks for the state_dict, as PEFT does when it loads an adapter, the
    weights are packed back without turning their scales around again, and every layer computes something else.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _load(folder: Path, device: str, quantisation: Literal["nf4", "none"]) -> Any:
    """The folder's model for writing, in its own precision or in NF4 with bfloat16 compute; raises ModelDamaged."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    nf4 = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            device_map=device,
            quantization_config=nf4 if quantisation == "nf4" else None,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    # A damaged folder shows as any of a dozen exceptions, of safetensors, transformers or json.
    except Exception as error:
        raise ModelDamaged(
            f"{folder} should be a model that transformers can load, but it cannot ({error}); copy the folder again."
        ) from error
    _keep_nf4_layout(model)
    return model.eval()


class Weights:
    """The model that all decoders share, and the adapters that PEFT has put into it."""

    def __init__(self, model: Any) -> None:
        self._plain = model
        self._adapted: Any = None
        self._loaded = 0

    def _insert(self, folder: Path, name: str) -> None:
        from peft import PeftModel

        with warnings.catch_warnings():
            # PEFT asks transformers for a property that its newer name has replaced.
            warnings.simplefilter("ignore", FutureWarning)
            if self._adapted is None:
                self._adapted = PeftModel.from_pretrained(self._plain, folder, adapter_name=name).eval()
            else:
                self._adapted.load_adapter(folder, adapter_name=name)

    def load_adapter(self, folder: Path) -> str:
        """Puts an adapter beside those that are there; PEFT's name for it. Raises AdapterRefused."""
        self._loaded += 1
        name = f"adapter{self._loaded}"
        try:
            self._insert(folder, name)
        except (ValueError, RuntimeError, KeyError, OSError) as error:
            raise AdapterRefused(
                f"The adapter {folder.name} should fit this model but cannot be laid over it; choose the model that it"
                " was trained on, or train it again."
            ) from error
        return name

    def delete_adapter(self, name: str) -> None:
        """Takes an adapter out again."""
        self._adapted.delete_adapter(name)

    def compute(self, adapters: Sequence[str], tokens: Any, cache: Any) -> Any:
        """Logits after the last token, with those adapters added up and no other."""
        model = self._plain if self._adapted is None else self._adapted
        off: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if adapters:
            # PEFT's own set_adapter takes one name; that of its tuner takes several and adds them up.
            model.base_model.set_adapter(list(adapters))
        elif self._adapted is not None:
            off = model.disable_adapter()
        with off:
            return model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]

    @property
    def device(self) -> Any:
        """Where the weights are."""
        return self._plain.device


class TorchDecoder:
    """A KV cache of its own over the shared weights, for its adapters alone."""

    def __init__(self, weights: Weights, adapters: Sequence[Path]) -> None:
        self._weights = weights
        self._adapters = [weights.load_adapter(adapter.parent) for adapter in adapters]
        self.logits: Any = None
        self._start_over()

    def _start_over(self) -> None:
        from transformers import DynamicCache

        self._cache = DynamicCache()

    def decode(self, block: Block) -> None:
        """See Decoder."""
        import torch

        with torch.inference_mode():
            tokens = torch.tensor([block], device=self._weights.device)
            self.logits = self._weights.compute(self._adapters, tokens, self._cache).float().cpu()

    def keep(self, tokens: int) -> bool:
        """See Decoder."""
        try:
            self._cache.crop(min(0, tokens - self._cache.get_seq_length()))
        # A sliding window that has moved on cannot be moved back.
        except RuntimeError:
            self._start_over()
            return tokens == 0
        return True

    def read_logits(self) -> Any:
        """See Decoder."""
        return self.logits.numpy().copy()

    def close(self) -> None:
        """See Decoder."""
        self._start_over()
        for adapter in self._adapters:
            self._weights.delete_adapter(adapter)


class TorchSampler:
    """The same chain as llama.cpp's sampler: repeat penalty, top-p, temperature, seeded draw."""

    def __init__(self, sampling: Sampling) -> None:
        import torch

        self._sampling = sampling
        self._chosen: list[int] = []
        self._generator = torch.Generator().manual_seed(sampling.seed)

    def _penalise(self, logits: Any) -> Any:
        recent = list(set(self._chosen[-_PENALTY_WINDOW:]))
        penalty = self._sampling.repeat_penalty
        values = logits[recent]
        logits = logits.clone()
        logits[recent] = values.where(values > 0, values * penalty * penalty) / penalty
        return logits

    def _draw(self, logits: Any) -> int:
        """One token from the smallest set that reaches top_p."""
        import torch

        ordered, tokens = logits.sort(descending=True, stable=True)
        probabilities = ordered.softmax(-1)
        inside = probabilities.cumsum(-1) - probabilities < self._sampling.top_p
        sharpened = (ordered[inside] / self._sampling.temperature).softmax(-1)
        return int(tokens[inside][torch.multinomial(sharpened, 1, generator=self._generator)])

    def choose(self, decoder: Decoder) -> int:
        """See Sampler."""
        assert isinstance(decoder, TorchDecoder)
        logits = self._penalise(decoder.logits) if self._sampling.repeat_penalty != 1.0 else decoder.logits
        token = int(logits.argmax()) if self._sampling.temperature <= 0.0 else self._draw(logits)
        self._chosen.append(token)
        return token

    def close(self) -> None:
        """See Sampler."""


class TorchWriter:
    """Decodes the whole answer anew with each token, and holds back what does not yet end in a whole character."""

    def __init__(self, tokeniser: Tokeniser) -> None:
        self._tokeniser = tokeniser
        self._ids: list[int] = []
        self._written = 0

    def push(self, token: int) -> str:
        """See Writer."""
        self._ids.append(token)
        text = self._tokeniser.decode(self._ids, special=False)
        return "" if text.endswith("\ufffd") else self._take(text)

    def _take(self, text: str) -> str:
        new, self._written = text[self._written :], len(text)
        return new

    def rest(self) -> str:
        """See Writer."""
        return self._take(self._tokeniser.decode(self._ids, special=False))


class TorchEngine(StreamingEngine):
    """A safetensors folder in transformers; see app.device.engines.Engine."""

    def __init__(
        self, model: LocalModel, context: int, threads: int, quantisation: Literal["nf4", "none"] | None = None
    ) -> None:
        share_cores()
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cpu":
            torch.set_num_threads(threads)
        self._tokeniser = open_tokeniser(model)
        loaded = _load(model.path, device, quantisation or ("nf4" if device == "cuda" else "none"))
        self._weights: Weights | None = Weights(loaded)
        super().__init__(min(context, getattr(loaded.config, "max_position_embeddings", context)))

    def _adapter_file(self, adapter: Path) -> Path:
        return adapter / ADAPTER_FILE

    def _open_decoder(self, adapters: Sequence[Path]) -> Decoder:
        assert self._weights is not None
        return TorchDecoder(self._weights, adapters)

    def _open_sampler(self, sampling: Sampling) -> Sampler:
        return TorchSampler(sampling)

    def _open_writer(self) -> Writer:
        return TorchWriter(self._tokeniser)

    def _is_end(self, token: int) -> bool:
        return token in self._tokeniser.end_ids

    def _free(self) -> None:
        self._weights = None
