"""A small folder in LaMP's format, tiny models and a plan for them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.device.training import FineTuning
from app.evaluation.mbase import BaseRecipe
from app.evaluation.plans import Plan
from app.evaluation.wordnet import PARTS
from tests.tiny import tiny_gguf

TITLE = "Generate a title for the following abstract of a paper: "
TWEET = "Paraphrase the following tweet without any explanation before or after it: "
TAG = "Which tag does this movie relate to among the following tags? tags: [funny, sad] description: "
REVIEW = "What is the score of the following review on a scale of 1 to 5? review: "

Item = Mapping[str, str]


SYNSETS = {
    "noun": [["boat", "vessel"], ["river", "stream", "watercourse"], ["Mouse", "rodent"]],
    "verb": [["study", "examine(p)", "look_at"]],
    "adj": [],
    "adv": [],
}


def write_database(folder: Path) -> Path:
    """Index and data files with true byte offsets, licence lines first."""
    folder.mkdir()
    for part in PARTS:
        data, index = "  1 licence\n", "  1 licence\n"
        for words in SYNSETS[part]:
            offset = len(data)
            listed = " ".join(f"{word} 0" for word in words)
            data += f"{offset:08} 04 {part[0]} {len(words):02x} {listed} 000 | gloss\n"
            for word in words:
                index += f"{word.partition('(')[0].lower()} {part[0]} 1 0 1 0 {offset:08}\n"
        (folder / f"data.{part}").write_text(data)
        (folder / f"index.{part}").write_text(index)
    (folder / "noun.exc").write_text("mice mouse\n")
    return folder


def question(id: str, user: str, prompt: str, profile: Sequence[Item]) -> dict[str, Any]:
    return {"id": id, "user_id": user, "input": prompt, "profile": list(profile)}


def write_split(folder: Path, split: str, task: str, rows: Sequence[tuple[dict[str, Any], str]]) -> None:
    """Questions with their golds, as LaMP's two files."""
    folder.mkdir(parents=True, exist_ok=True)
    golds = [{"id": asked["id"], "output": gold} for asked, gold in rows]
    (folder / f"{split}_questions.json").write_text(json.dumps([asked for asked, _ in rows]))
    (folder / f"{split}_outputs.json").write_text(json.dumps({"task": task, "golds": golds}))


def paper(user: str, number: int) -> Item:
    return {
        "id": f"{user}{number}",
        "abstract": f"We study {user} number {number} of boats and rivers",
        "title": f"{user} {number}: boats",
        "date": f"200{number}",
    }


def titles(folder: Path, users: int = 2, others: int = 2) -> Path:
    """LaMP-5 with targets u0 (the longest history), u1, ... and people o0, o1, ... to learn M_base from."""
    dev = []
    for user in range(users):
        profile = [paper(f"u{user}", number) for number in range(4 + users - user)][::-1]
        for asked in range(2):
            text = f"{TITLE}We ask {user} about question {asked} of rivers"
            dev.append((question(f"{user}{asked}", f"u{user}", text, profile), f"Gold {user} {asked} rivers"))
    train = [
        (question(f"t{number}", f"o{number}", f"{TITLE}Others {number} write of roads", []), f"Road {number}")
        for number in range(others)
    ]
    write_split(folder, "dev", "LaMP_5", dev)
    if train:
        write_split(folder, "train", "LaMP_5", train)
    return folder


def tweets(folder: Path, more: str = "") -> Path:
    """LaMP-7 with one target, neutral rewrites in the profile; `more` ends each of its tweets."""
    profile = [
        {
            "id": str(number),
            "text": f"omg flight {number}!! {more}".strip(),
            "neutral": f"Flight {number} is late.",
            "date": "2015",
        }
        for number in range(4)
    ]
    write_split(
        folder, "dev", "LaMP_7", [(question("0", "0", f"{TWEET}My flight is late.", profile), "omg late again")]
    )
    return folder


def tags(folder: Path) -> Path:
    """LaMP-2 with one target."""
    profile = [
        {"id": str(number), "description": f"film {number} of a clown", "tag": "sad" if number % 3 else "funny"}
        for number in range(5)
    ]
    asked = question("0", "0", f"{TAG}a clown falls", profile)
    write_split(
        folder, "dev", "LaMP_2", [(asked, "funny"), (question("1", "0", f"{TAG}a clown cries", profile), "sad")]
    )
    return folder


def reviews(folder: Path, *scores: str, gold: str = "4") -> Path:
    """LaMP-3 with one target and another user, whose histories have these scores and a good one."""
    profile = [{"id": str(number), "text": f"film {number}", "score": score} for number, score in enumerate(scores)]
    good = [{"id": "g", "text": "a good film", "score": "5"}]
    asked = question("0", "0", f"{REVIEW}a boat sinks", profile)
    write_split(folder, "dev", "LaMP_3", [(asked, gold), (question("1", "1", f"{REVIEW}a clown", good), "5")])
    return folder


def plan_for(folder: Path, data: Path, task: str = "LaMP_5", **changes: Any) -> Plan:
    """One step of training on tiny random models; the cloud model is another one."""
    plan = Plan(
        data=str(data),
        task=task,
        device_model=str(tiny_gguf(folder / "models", seed=0)),
        cloud_model=str(tiny_gguf(folder / "models", seed=1)),
        users=1,
        base="none",
        base_recipe=BaseRecipe(rank=2, epochs=1),
        fine_tuning=FineTuning(rank=2, epochs=1, batch=8, max_tokens=256),
    )
    return dataclasses.replace(plan, **changes)
