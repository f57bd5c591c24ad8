"""Counts in sentences for people (one record, two records), and what the page and the commands say alike."""

from collections.abc import Mapping, Sequence
from typing import Any


def counted(count: int, noun: str, plural: str = "") -> str:
    """The count with its noun: "1 record", "2 records"; `plural` where it is not the noun with an s."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def dates_unread(count: int) -> str:
    """What becomes of records with dates that could not be read, behind another sentence; "" where all could be."""
    counting = verb(count, "that record counts", "those records count")
    return f" {counted(count, 'date')} could not be read; {counting} as newest." if count else ""


def verb(count: int, one: str, many: str) -> str:
    """The verb that goes with a count: "is" or "are", "was" or "were"."""
    return one if count == 1 else many


def came_to_nothing(result: Mapping[str, Any]) -> str:
    """What an augmentation's result says of samples without a pair, and why; results of older versions lack why."""
    because = ", ".join(result.get("failed_because", ()))
    return f"{counted(result['failed'], 'sample')} came to nothing" + (f" ({because})" if because else "")


def still_held(erased: bool, archives: Sequence[str]) -> list[str]:
    """Sentences on where what was forgotten stands still; none where it is gone without a trace."""
    said = []
    if archives:
        held = ", ".join(archives)
        said.append(f"Archives hold what they held when they were exported; delete them as well: {held}.")
    if not erased:
        said.append("Another program is reading the store; the last trace goes when it closes.")
    return said
