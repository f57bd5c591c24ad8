"""Writing for the person, with their adapter or without; every answer is stored and says which adapter wrote it."""

import dataclasses
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from app.errors import AdapterRefused, BadInput
from app.pipeline import editing, switching
from app.pipeline.models import device_model
from app.pipeline.retrieval import Retriever, augmented_prompts
from app.pipeline.tasks import find_task
from app.pipeline.workspace import Workspace
from app.tasks import Task
from personal_store import generations, records, training
from personal_store.errors import NotFound
from personal_store.nouns import Adapter, Generation, NewGeneration, Record
from personal_store.store import Store

if TYPE_CHECKING:
    from app.device.bases import TaskBase
    from app.device.catalogue import LocalModel
    from app.device.engines import Engine, Sampling
    from app.device.rendering import Message
    from app.device.tokenising import Tokeniser

AdapterChoice = int | Literal["latest", "none", "active", "personal"]
"""An adapter's id; the one made last; none; the one switched on, else none; the one switched on, else the last.

Of the last two, those that fit the device model count.
"""

CONTEXT = 2048
"""Tokens of prompt and answer together."""


@dataclasses.dataclass(frozen=True)
class Draft:
    """An answer up to now."""

    text: str
    adapter_id: int | None
    adapter_name: str | None
    base_name: str | None
    """The task base that was under it, or alone; None: the bare model."""
    model: str
    tokens: int
    seconds: float
    records: int = 0
    """How many of the person's records stood in the prompt."""
    left_out: str = ""
    """What of text and conversation had no room in the prompt, in words; empty where all had."""
    generation: Generation | None = None
    """Set in the last draft, once the answer is stored."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclasses.dataclass(frozen=True)
class _Loaded:
    model: "LocalModel"
    engine: "Engine"
    tokeniser: "Tokeniser"
    template_hash: str


def _load(model: "LocalModel", cache: Path) -> _Loaded:
    from app.device.engines import open_engine
    from app.device.rendering import template_hash
    from app.device.tokenising import open_tokeniser

    tokeniser = open_tokeniser(model)
    return _Loaded(model, open_engine(model, CONTEXT, cache=cache), tokeniser, template_hash(tokeniser))


@functools.lru_cache(maxsize=2)
def _retriever(own: tuple[Record, ...]) -> Retriever[Record]:
    """Kept while the records stay the same: indexing a long history takes a second."""
    return Retriever(own)


def _similar(workspace: Workspace, task: Task, text: str, count: int) -> list[Record]:
    if count <= 0:
        return []
    with workspace.store() as store:
        own = records.all_records(store, task.name)
    # What was written for the very same text would stand in for an answer.
    same = sum(record.input.strip() == text.strip() for record in own)
    found = _retriever(own).find(text, count + same)
    return [record for record in found if record.input.strip() != text.strip()][:count]


def retrieve(workspace: Workspace, task: str, text: str, count: int) -> list[tuple[str, str]]:
    """Input and output of the person's records of a task that are most like the text (BM25), the best first.

    Of equals the newer one; never one with the very same input; fewer than `count` where there are fewer. Raises
    BadInput for a task that there is not.
    """
    found = _similar(workspace, find_task(workspace, task), text, count)
    return [(record.input, record.output) for record in found]


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A prompt's ids, and how many of the records found have their place in it."""

    ids: list[int]
    records: int = 0
    left_out: str = ""
    """As in Draft."""


BEGINNING, END = "the beginning of the conversation", "the end of your text"


def _prompt(
    loaded: _Loaded, task: Task, text: str, earlier: Sequence["Message"], found: Sequence[Record], room: int
) -> _Asked:
    """Where it is too long, records are shortened and left out first, then the earliest turns; then the text is cut."""
    from app.device.rendering import Message, render_prompt, render_task

    turns, left_out = list(earlier), ""
    while True:
        for count, asked in (*augmented_prompts(task, text, found), (0, task.prompt(text))):
            ids = render_prompt(loaded.tokeniser, [*turns, Message("user", asked)])
            if len(ids) <= room:
                return _Asked(ids, count, left_out)
        if not turns:
            left_out = f"{left_out} and {END}" if left_out else END
            return _Asked(render_task(loaded.tokeniser, task, text, room), left_out=left_out)
        turns, left_out = turns[2:], BEGINNING


class Writer:
    """Writes with the person's device model, which is loaded when it is first needed and kept."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def _ready(self) -> _Loaded:
        model = device_model(self.workspace)
        with self._lock:
            if self._loaded is None or self._loaded.model != model:
                if self._loaded is not None:
                    self._loaded.engine.close()
                self._loaded = None
                self._loaded = _load(model, self.workspace.prepared)
            return self._loaded

    def _find(self, choice: AdapterChoice) -> Adapter | None:
        if choice == "none":
            return None
        if choice == "active":
            return switching.active(self.workspace)
        if choice == "personal":
            return switching.active(self.workspace) or next(iter(switching.fitting(self.workspace)), None)
        with self.workspace.store() as store:
            return training.latest_adapter(store) if choice == "latest" else training.get_adapter(store, choice)

    def require_adapter(self, choice: AdapterChoice) -> int:
        """The id of the adapter that the choice means; raises AdapterRefused where there is none."""
        adapter = self._find(choice)
        if adapter is not None:
            return adapter.id
        with self.workspace.store() as store:
            others = training.latest_adapter(store) is not None
        lacking = f"for the model {device_model(self.workspace).name} " if others else ""
        raise AdapterRefused(
            f"There is no adapter yet {lacking}to write with; train one on the Personalise page or with `cdcda train`."
        )

    def _folder(self, adapter: Adapter | None, loaded: _Loaded, base: "TaskBase | None") -> Path | None:
        from app.device.adapters import check_adapter

        if adapter is None:
            return None
        folder = self.workspace.adapters / adapter.folder
        check_adapter(folder, loaded.model, loaded.template_hash, base.hash if base else None)
        return folder

    def _base(self, adapter: Adapter | None, task: Task, loaded: _Loaded) -> "TaskBase | None":
        """The base that the adapter was trained on top of; without an adapter, the person's choice for the task."""
        from app.device.adapters import load_manifest
        from app.pipeline import bases

        if adapter is None:
            return bases.base_for(self.workspace, task, loaded.model, loaded.template_hash)
        story = load_manifest(self.workspace.adapters / adapter.folder).task_base
        return bases.of_story(self.workspace, story, loaded.model, loaded.template_hash)

    def _base_folder(self, base: "TaskBase | None", loaded: _Loaded) -> Path | None:
        from app.device.bases import served

        return served(base, loaded.model, self.workspace.prepared) if base else None

    def stream(
        self,
        text: str,
        task: str = "chat",
        adapter: AdapterChoice = "active",
        sampling: "Sampling | None" = None,
        earlier: Sequence["Message"] = (),
        base_of: int | None = None,
        retrieved: int = 0,
        should_stop: Callable[[], bool] = never,
    ) -> Iterator[Draft]:
        """The answer as it grows; its last draft is the stored one. `earlier` are the turns of a conversation before.

        `base_of` is an adapter whose task base is used without it: the other side of a comparison. `retrieved` is how
        many of the person's most similar records stand in the prompt, fewer where they would not fit. What is there
        when `should_stop` turns true is kept as the answer.
        Raises BadInput, AdapterRefused, NotFound, ModelMissing, ModelDamaged and ModelClosed.
        """
        from app.device.engines import Sampling

        if not text.strip():
            raise BadInput("There is no text to write from; type something first.")
        sampling = sampling or Sampling()
        chosen = find_task(self.workspace, task)
        entry = self._find(self.require_adapter("latest") if adapter == "latest" else adapter)
        loaded = self._ready()
        if entry is not None:
            switching.require_fit(entry, loaded.model)
        base = self._base(entry or (None if base_of is None else self._find(base_of)), chosen, loaded)
        folder, base_folder = self._folder(entry, loaded, base), self._base_folder(base, loaded)
        found = _similar(self.workspace, chosen, text, retrieved)
        asked = _prompt(loaded, chosen, text, earlier, found, CONTEXT - sampling.max_tokens)
        pieces = loaded.engine.stream(asked.ids, folder, sampling, base_folder)
        # Behind the opening: what is opened once says nothing of how fast it writes.
        started = time.monotonic()
        written, tokens = "", 0
        # What the engine says it laid over the weights, not what was asked for.
        really = entry if pieces.adapter is not None else None
        under = base if pieces.base is not None else None
        label: dict[str, Any] = {
            "adapter_id": really.id if really else None,
            "adapter_name": really.name if really else None,
            "base_name": under.name if under else None,
            "model": loaded.model.name,
            "records": asked.records,
            "left_out": asked.left_out,
        }
        for piece in pieces:
            written, tokens = written + piece.text, piece.tokens
            yield Draft(written, tokens=tokens, seconds=time.monotonic() - started, **label)
            if should_stop():
                break
        seconds = time.monotonic() - started
        stored = self._keep(chosen, text, label, under, sampling, asked.ids, written.strip(), tokens, seconds)
        yield Draft(written.strip(), tokens=tokens, seconds=seconds, generation=stored, **label)

    def _keep(
        self,
        task: Task,
        text: str,
        label: dict[str, Any],
        base: "TaskBase | None",
        sampling: "Sampling",
        prompt: Sequence[int],
        written: str,
        tokens: int,
        seconds: float,
    ) -> Generation:
        settings = {
            **dataclasses.asdict(sampling),
            "model": label["model"],
            "task_base": base.story() if base else None,
            "records": label["records"],
            "left_out": label["left_out"],
            "prompt_tokens": len(prompt),
            "prompt_hash": hashlib.sha256(repr(list(prompt)).encode()).hexdigest(),
        }
        new = NewGeneration(task.name, text, label["adapter_id"], settings, sampling.seed, written, tokens, seconds)
        with self.workspace.store() as store:
            return generations.add_generation(store, new)

    def generate(
        self,
        text: str,
        task: str = "chat",
        adapter: AdapterChoice = "active",
        sampling: "Sampling | None" = None,
        earlier: Sequence["Message"] = (),
        retrieved: int = 0,
    ) -> Draft:
        """The whole answer."""
        *_, last = self.stream(text, task, adapter, sampling, earlier, retrieved=retrieved)
        return last

    def close(self) -> None:
        """Free the model."""
        with self._lock:
            if self._loaded is not None:
                self._loaded.engine.close()
            self._loaded = None


def _adapter_name(store: Store, id: int | None) -> str | None:
    if id is None:
        return None
    try:
        return training.get_adapter(store, id).name
    except NotFound:
        return f"adapter {id}, deleted"


def stored_draft(store: Store, id: int) -> Draft:
    """A stored answer as it was shown; raises NotFound."""
    answer = generations.get_generation(store, id)
    base, model = answer.settings.get("task_base"), str(answer.settings.get("model", ""))
    return Draft(
        answer.text,
        answer.adapter_id,
        _adapter_name(store, answer.adapter_id),
        base["name"] if base else None,
        model,
        answer.tokens,
        answer.seconds,
        int(answer.settings.get("records", 0)),
        str(answer.settings.get("left_out", "")),
        answer,
    )


def keep_answer(workspace: Workspace, generation_id: int, text: str | None = None) -> int | None:
    """Make an answer that the person likes a record of their history; its id, None where it is one already.

    `text` takes its place where the person has changed it. Raises NotFound and BadInput.
    """
    with workspace.store() as store:
        answer = generations.get_generation(store, generation_id)
    kept_text = answer.text if text is None else text
    if not kept_text.strip():
        raise BadInput("An empty answer cannot become a record; keep another one.")
    kept = editing.keep_answer(workspace, answer.task, answer.prompt, kept_text, answer.created_at)
    return kept.id if kept else None
