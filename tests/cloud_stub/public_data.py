"""A LaMP-5 folder of a few made-up people, for the tests of bases."""

import json
from pathlib import Path
from typing import Any

ASKED = "Generate a title for the following abstract of a paper: "
THINGS = ("rivers", "bread", "clocks", "snow", "ferries", "gardens", "maps", "bees")


def _item(user: int, number: int) -> dict[str, str]:
    thing = THINGS[(user + number) % len(THINGS)]
    return {
        "id": f"{user}-{number}",
        "abstract": f"Person {user} on {thing}.",
        "title": f"{user} on {thing}",
        "date": "2016",
    }


def _write(folder: Path, part: str, users: range) -> None:
    questions: list[dict[str, Any]] = []
    golds: list[dict[str, str]] = []
    for user in users:
        profile = [_item(user, number) for number in range(2)]
        asked = _item(user, 5)
        name = f"{part}{user}"
        prompt = ASKED + asked["abstract"]
        questions.append({"id": name, "user_id": name, "input": prompt, "profile": profile})
        golds.append({"id": name, "output": asked["title"]})
    (folder / f"{part}_questions.json").write_text(json.dumps(questions), "utf-8")
    (folder / f"{part}_outputs.json").write_text(json.dumps({"task": "LaMP_5", "golds": golds}), "utf-8")


def public_folder(parent: Path, people: int = 8, asked: int = 2) -> Path:
    """Writes train files of so many people and dev files of so many others; the folder."""
    folder = parent / "public"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, "train", range(people))
    if asked:
        _write(folder, "dev", range(100, 100 + asked))
    return folder
