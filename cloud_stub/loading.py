"""What the service is made of: its models, in process or on another server, and its scorer. Knows no command line."""

import dataclasses
import sys
import urllib.parse
from collections.abc import Sequence
from typing import Protocol

from cloud_stub import nli
from cloud_stub.augmenting import Parts
from cloud_stub.models import ModelFile
from cloud_stub.nli import NliScorer
from cloud_stub.rouge import rouge_l
from cloud_stub.scheduling import SharedScorer
from cloud_stub.schemas import Capabilities, ModelDescription


class Models(Protocol):
    """Models that have been chosen and not loaded."""

    @property
    def room(self) -> int:
        """Samples that they write at the same time; 1: a record at a time."""
        ...

    def describe(self, scorer: str | None) -> Capabilities:
        """What a service with these can do."""
        ...

    def load(self, scorer: str | None) -> Parts:
        """Load them and the scorer of that name or folder, None for the own one; raises ServiceError."""
        ...


def _capabilities(
    models: Sequence[ModelDescription], scorer: str | None, passes_on_to: str | None = None
) -> Capabilities:
    return Capabilities(models=tuple(models), scorer=scorer or nli.EMBEDDED_NAME, passes_on_to=passes_on_to)


def report(line: str) -> None:
    """Tell whoever runs the service; the line holds no text of a person."""
    print(f"cdcda-cloud: {line}", file=sys.stderr, flush=True)


def load_scorer(name: str | None) -> NliScorer:
    """The scorer of that name or folder, else the one that comes along; raises ScorerNotUsable."""
    import torch

    from cloud_stub.llama_model import processors

    torch.set_num_threads(processors())
    # rouge-score imports all of nltk, which takes seconds: now, and not within the first request.
    rouge_l("", "")
    return SharedScorer(nli.CrossEncoderNli(name) if name else nli.EmbeddedNli())


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """GGUF models in process."""

    files: tuple[ModelFile, ...]
    room: int = 1

    def describe(self, scorer: str | None) -> Capabilities:
        """See Models."""
        return _capabilities([self._description(file) for file in self.files], scorer)

    @staticmethod
    def _description(file: ModelFile) -> ModelDescription:
        return ModelDescription(name=file.name, embedded=file.embedded, prompt="sentences")

    def load(self, scorer: str | None) -> Parts:
        """See Models."""
        from cloud_stub.llama_model import LlamaModel

        return Parts(tuple(map(LlamaModel, self.files)), load_scorer(scorer))


@dataclasses.dataclass(frozen=True)
class UpstreamModels:
    """Models of an OpenAI-compatible server."""

    url: str
    names: tuple[str, ...]
    key: str | None = dataclasses.field(repr=False)
    room: int
    answer_seconds: float
    thinking_tokens: int | None

    def describe(self, scorer: str | None) -> Capabilities:
        """See Models."""
        # What stands before the @ of an address may be a password.
        host = urllib.parse.urlsplit(self.url).netloc.rpartition("@")[2]
        described = [ModelDescription(name=name, embedded=False, prompt="rewrite") for name in self.names]
        return _capabilities(described, scorer, host)

    def load(self, scorer: str | None) -> Parts:
        """See Models; asks the server for its list of models."""
        from cloud_stub.upstream import Upstream, UpstreamModel

        upstream = Upstream(self.url, self.key, self.room, report, self.answer_seconds)
        upstream.check(self.names)
        models = tuple(UpstreamModel(upstream, name, self.thinking_tokens) for name in self.names)
        return Parts(models, load_scorer(scorer))
