"""The same question answered without and with the adapter, by one engine, side by side.

A blind comparison draws which side stands first, and whoever shows it names neither before the vote.
"""

import dataclasses
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from app.pipeline.generation import AdapterChoice, Draft, Writer, never, stored_draft
from app.pipeline.workspace import Workspace
from personal_store import generations
from personal_store.nouns import Choice, Comparison

if TYPE_CHECKING:
    from app.device.engines import Sampling

Place = Literal["first", "same", "second"]
"""Which answer is better, by where it stands."""


@dataclasses.dataclass(frozen=True)
class Drafts:
    """Two answers on their way."""

    before: Draft
    after: Draft
    comparison: Comparison | None
    """Set in the last drafts, once both answers are stored."""
    blind: bool = False
    """Which is which is not to be shown before the vote."""
    after_first: bool = False

    @property
    def in_order(self) -> tuple[Draft, Draft]:
        """The two as they stand."""
        return (self.after, self.before) if self.after_first else (self.before, self.after)


def coin() -> bool:
    """One of two, unpredictably."""
    return bool(secrets.randbelow(2))


def _both(streams: tuple[Iterator[Draft], Iterator[Draft]]) -> Iterator[tuple[Draft, Draft]]:
    """Both answers growing in turn, from the moment that both have begun."""
    drafts: list[Draft | None] = [None, None]
    unfinished = [0, 1]
    while unfinished:
        for side in list(unfinished):
            draft = next(streams[side], None)
            if draft is None:
                unfinished.remove(side)
            else:
                drafts[side] = draft
            if drafts[0] and drafts[1] and draft is not None:
                yield drafts[0], drafts[1]


def stream_comparison(
    writer: Writer,
    text: str,
    task: str = "chat",
    adapter: AdapterChoice = "personal",
    sampling: "Sampling | None" = None,
    retrieved: int = 0,
    blind: bool = False,
    should_stop: Callable[[], bool] = never,
) -> Iterator[Drafts]:
    """Both answers growing in turn; prompt, settings, seed and task base are the same, the adapter alone differs.

    What is there when `should_stop` turns true is kept as the answers. Raises AdapterRefused where there is no adapter
    to compare with.
    """
    after_id = writer.require_adapter(adapter)
    streams = (
        writer.stream(text, task, "none", sampling, (), after_id, retrieved, should_stop),
        writer.stream(text, task, after_id, sampling, (), None, retrieved, should_stop),
    )
    order = {"blind": blind, "after_first": blind and coin()}
    before = after = None
    for before, after in _both(streams):
        yield Drafts(before, after, None, **order)
    assert before is not None
    assert after is not None
    assert before.generation is not None
    assert after.generation is not None
    with writer.workspace.store() as store:
        stored = generations.add_comparison(store, before.generation.id, after.generation.id, **order)
    yield Drafts(before, after, stored, **order)


def compare(
    writer: Writer,
    text: str,
    task: str = "chat",
    adapter: AdapterChoice = "personal",
    sampling: "Sampling | None" = None,
    retrieved: int = 0,
) -> Drafts:
    """The same, when both answers are there."""
    *_, last = stream_comparison(writer, text, task, adapter, sampling, retrieved)
    return last


def vote(workspace: Workspace, comparison_id: int, vote: Choice | None) -> Comparison:
    """Say which answer is better; None takes the vote back. Raises NotFound."""
    with workspace.store() as store:
        return generations.vote(store, comparison_id, vote)


def vote_by_place(workspace: Workspace, comparison_id: int, place: Place) -> Comparison:
    """The same by where the better answer stands. Raises NotFound."""
    with workspace.store() as store:
        found = generations.get_comparison(store, comparison_id)
    places: dict[Place, Choice] = {"same": "same", "first": "before", "second": "after"}
    if found.after_first:
        places |= {"first": "after", "second": "before"}
    return vote(workspace, comparison_id, places[place])


def reveal(workspace: Workspace, comparison_id: int) -> Drafts:
    """A comparison as it was stored, with the names of its sides. Raises NotFound."""
    with workspace.store() as store:
        found = generations.get_comparison(store, comparison_id)
        before, after = (stored_draft(store, id) for id in (found.before_id, found.after_id))
    return Drafts(before, after, found, found.blind, found.after_first)
