"""The same question answered without and with the adapter, from the same loaded weights, side by side."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from app.pipeline.generation import AdapterChoice, Draft, Writer
from app.pipeline.workspace import Workspace
from personal_store import generations
from personal_store.nouns import Comparison

if TYPE_CHECKING:
    from app.device.engines import Sampling


@dataclasses.dataclass(frozen=True)
class Drafts:
    """Two answers on their way."""

    before: Draft
    after: Draft
    comparison: Comparison | None
    """Set in the last drafts, once both answers are stored."""


def stream_comparison(
    writer: Writer,
    text: str,
    task: str = "chat",
    adapter: AdapterChoice = "personal",
    sampling: "Sampling | None" = None,
    retrieved: int = 0,
) -> Iterator[Drafts]:
    """Both answers growing in turn; prompt, settings, seed and task base are the same, the adapter alone differs.

    Raises AdapterRefused where there is no adapter to compare with.
    """
    after_id = writer.require_adapter(adapter)
    before_stream = writer.stream(text, task, "none", sampling, base_of=after_id, retrieved=retrieved)
    streams = (before_stream, writer.stream(text, task, after_id, sampling, retrieved=retrieved))
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
                yield Drafts(drafts[0], drafts[1], None)
    before, after = drafts
    assert before is not None
    assert after is not None
    assert before.generation is not None
    assert after.generation is not None
    with writer.workspace.store() as store:
        stored = generations.add_comparison(store, before.generation.id, after.generation.id)
    yield Drafts(before, after, stored)


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


def vote(workspace: Workspace, comparison_id: int, vote: Literal["before", "after", "same"] | None) -> Comparison:
    """Say which answer is better; None takes the vote back. Raises NotFound."""
    with workspace.store() as store:
        return generations.vote(store, comparison_id, vote)
