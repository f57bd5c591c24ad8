"""What a payload will cost, before it leaves: tokens by a rule of thumb, money by the prices that the person gave."""

import dataclasses

from app.errors import BadInput
from app.pipeline.payload import LOCAL_DESTINATION, Payload
from app.pipeline.workspace import Workspace
from personal_store import preferences

CHARACTERS_A_TOKEN = 4
"""About, for European languages; a service's own tokenizer says it exactly."""
PROMPT_TOKENS = 60
"""What is said around a record, once for each pair that is asked for."""
PREFERENCE = "prices"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """About how much a service will read and write."""

    read: int
    """Tokens of all prompts: each record k times, because each pair is asked for on its own."""
    written: int
    """Tokens of all answers: as long as the records, k times."""
    cost: float | None
    """In the currency of the prices; 0 for the service that the program starts, None where no price is known."""


def set_prices(workspace: Workspace, read: float | None, written: float | None) -> None:
    """Keep what a service takes for a million tokens read and written; None for both: forget it.

    One alone changes nothing, as nothing can be estimated with it. Raises BadInput for less than nothing.
    """
    if read is None and written is None:
        with workspace.store() as store:
            preferences.remove(store, PREFERENCE)
    if read is None or written is None:
        return
    if not (0 <= read < 1e6 and 0 <= written < 1e6):
        raise BadInput(f"A price for a million tokens is 0 or more, got {read} and {written}; correct it.")
    with workspace.store() as store:
        preferences.put(store, PREFERENCE, [read, written])


def prices(workspace: Workspace) -> tuple[float, float] | None:
    """What a million tokens read and written cost, where the person said so."""
    with workspace.store() as store:
        found: list[float] = preferences.get(store, PREFERENCE, [])
    return (found[0], found[1]) if found else None


def estimate(workspace: Workspace, payload: Payload) -> Estimate:
    """About what this payload makes a service read and write."""
    texts = sum(len(item["input"]) + len(item["output"]) for item in payload.request["records"])
    each = -(-texts // CHARACTERS_A_TOKEN)
    k = payload.settings.k
    read, written = k * (each + PROMPT_TOKENS * len(payload.record_ids)), k * each
    known = (0.0, 0.0) if payload.destination == LOCAL_DESTINATION else prices(workspace)
    cost = None if known is None else (read * known[0] + written * known[1]) / 1e6
    return Estimate(read, written, cost)


def in_words(found: Estimate) -> str:
    """The estimate for people."""
    tokens = f"about {found.read:,} tokens to read and {found.written:,} to write"
    if found.cost is None:
        return f"{tokens}; what that costs depends on the service (give its prices to see it)"
    return f"{tokens}; " + (f"about {found.cost:.4f} by your prices" if found.cost else "costs nothing")
