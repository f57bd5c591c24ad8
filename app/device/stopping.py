"""Ends an answer before a text that was named, wherever the tokens cut it. Knows no model."""

from collections.abc import Sequence


class StopWatch:
    """Takes an answer piece by piece and holds back what may be the beginning of a stop text."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = tuple(filter(None, stops))
        self._held = ""
        self.found = False
        """A stop text came: what is behind it is dropped."""

    def _beginning(self) -> int:
        """Characters at the end of what is held that a stop text begins with."""
        longest = min(len(self._held), max((len(stop) - 1 for stop in self._stops), default=0))
        for size in range(longest, 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self._stops):
                return size
        return 0

    def push(self, text: str) -> str:
        """What of the answer is certain now."""
        if self.found:
            return ""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        self.found = bool(places)
        certain = min(places) if places else len(self._held) - self._beginning()
        said, self._held = self._held[:certain], self._held[certain:]
        return said

    def rest(self) -> str:
        """What was held back, once the answer has ended without a stop text."""
        return "" if self.found else self._held
