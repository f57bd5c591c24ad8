"""Lines and tables for people, safe to print whatever a record says."""

from collections.abc import Iterable
from typing import Any

from app.pipeline.cleaning import clean


def console() -> Any:
    """rich's console."""
    from rich.console import Console

    return Console(highlight=False)


def shorten(text: str, length: int = 160) -> str:
    """The text in one line, cut where it is longer."""
    text = " ".join(clean(text).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", show_lines=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        # Text: brackets in a record are not markup.
        made.add_row(*(Text(shorten(str(cell))) for cell in row))
    console().print(made)


def say(*lines: str) -> None:
    """Print lines."""
    for line in lines:
        print(clean(line))
