"""The base and each adapter as models that are asked for by name, of one loaded engine.

Knows no HTTP. What is asked is not stored: it is another program's, not the person's own writing here.
"""

import dataclasses
import datetime
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.device.adapters import check_adapter
from app.device.bases import served
from app.device.weights import model_hash
from app.errors import BadInput
from app.pipeline import adapters, bases
from app.pipeline.generation import CONTEXT
from app.pipeline.models import device_model
from app.pipeline.workspace import Workspace
from personal_store.nouns import Adapter

if TYPE_CHECKING:
    from app.device.engines import Sampling, Stream
    from app.device.rendering import Message


@dataclasses.dataclass(frozen=True)
class Served:
    """A model that can be asked for."""

    name: str
    """The base's own name, or the adapter's in small letters with hyphens."""
    adapter: Adapter | None
    """None: the base."""
    created: int
    """Seconds since the epoch; 0 for the base."""


@dataclasses.dataclass(frozen=True)
class Order:
    """An answer that can begin at once: everything that could be refused was looked at."""

    served: Served
    prompt_ids: tuple[int, ...]
    adapter: Path | None
    """Folders, for the engine."""
    base: Path | None


def _seconds(adapter: Adapter) -> int:
    return int(datetime.datetime.fromisoformat(adapter.created_at).timestamp())


def _named(taken: Sequence[str], adapter: Adapter) -> str:
    """Its name as part of an address; with its number where the name is taken."""
    name = adapters.slug(adapter.name)
    return f"{name}-{adapter.id}" if name in taken else name


class Shelf:
    """One loaded device model, and the adapters that fit it as they are at each moment."""

    def __init__(self, workspace: Workspace, model: str | None = None, context: int = CONTEXT) -> None:
        """Loads the model named, else the person's device model; raises ModelMissing and ModelDamaged."""
        from app.device.engines import open_engine
        from app.device.rendering import template_hash
        from app.device.tokenising import open_tokeniser

        self.workspace = workspace
        self.model = device_model(workspace, model)
        self.context = context
        self._tokeniser = open_tokeniser(self.model)
        self._template_hash = template_hash(self._tokeniser)
        self._hash = model_hash(self.model)
        self._engine = open_engine(self.model, context, cache=workspace.prepared)

    def models(self) -> tuple[Served, ...]:
        """The base, then the adapters that were trained on it, the oldest first: a new one takes no name away."""
        found = [Served(self.model.name, None, 0)]
        for adapter in reversed(adapters.listing(self.workspace)):
            if adapter.manifest.get("base_hash") == self._hash:
                found.append(Served(_named([one.name for one in found], adapter), adapter, _seconds(adapter)))
        return tuple(found)

    def find(self, name: str) -> Served | None:
        """The model of that name."""
        return next((one for one in self.models() if one.name == name), None)

    def _folders(self, adapter: Adapter | None) -> tuple[Path | None, Path | None]:
        """Those of the adapter and of the task base that it was trained on."""
        if adapter is None:
            return None, None
        folder = self.workspace.adapters / adapter.folder
        story = adapter.manifest.get("task_base")
        base = bases.of_story(self.workspace, story, self.model, self._template_hash)
        check_adapter(folder, self.model, self._template_hash, base.hash if base else None)
        return folder, served(base, self.model, self.workspace.prepared) if base else None

    def order(self, served: Served, messages: Sequence["Message"]) -> Order:
        """Prepare an answer to a conversation; raises BadInput where it is too long, and AdapterRefused."""
        from app.device.rendering import render_prompt

        prompt_ids = render_prompt(self._tokeniser, messages)
        if len(prompt_ids) >= self.context:
            raise BadInput(
                f"The conversation has {len(prompt_ids):,} tokens but there is room for {self.context - 1:,} and an"
                " answer; shorten it, or start `cdcda serve` with a longer --context."
            )
        return Order(served, tuple(prompt_ids), *self._folders(served.adapter))

    def begin(self, order: Order, sampling: "Sampling", stop: Sequence[str] = ()) -> "Stream":
        """Begin an answer; raises AdapterRefused."""
        return self._engine.stream(order.prompt_ids, order.adapter, sampling, order.base, stop)

    def close(self) -> None:
        """Free the model."""
        self._engine.close()


def some_seed() -> int:
    """A seed for whoever named none."""
    return secrets.randbelow(2**31)
