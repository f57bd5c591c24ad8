"""Fetches LaMP's public files, where the network allows, through the app's one way out.

Addresses: https://lamp-benchmark.github.io/download. LaMP-6 is not there: its e-mails need a licence.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from app.errors import BadInput, DownloadFailed
from app.pipeline import network
from app.pipeline.workspace import Workspace
from app.tasks import LAMP_WITHOUT_DATA, Task, find_task

SOURCE = "https://ciir.cs.umass.edu/downloads/LaMP"
SPLITS = ("train", "dev")
PARTS = ("questions", "outputs")
BLOCK = 1 << 20
Split = Literal["time", "user"]


@dataclasses.dataclass(frozen=True)
class FileProgress:
    """How far a download is."""

    name: str
    done: int
    """Bytes of this file."""
    total: int
    """Bytes of this file; 0: not known."""


def _lamp_task(name: str) -> Task:
    if name == LAMP_WITHOUT_DATA:
        raise BadInput(f"{name} needs the Avocado e-mail corpus, which is not public; choose another task.")
    task = find_task(name)
    if task.lamp is None:
        raise BadInput(f"The task {name} is none of LaMP's, so there are no files of it; name one like LaMP_5.")
    return task


def addresses(task: str, split: Split, source: str = SOURCE) -> dict[str, str]:
    """Address by file name; the movie tags of LaMP-2 lie below `new`, the folder without it is an older task's."""
    lamp = _lamp_task(task).lamp
    folder = f"{source}/time/{lamp}" if split == "time" else f"{source}/{lamp}"
    folder += "/new" if lamp == "LaMP_2" else ""
    return {f"{part}_{kind}.json": f"{folder}/{part}/{part}_{kind}.json" for part in SPLITS for kind in PARTS}


def _fetch(workspace: Workspace, url: str, path: Path, listener: Callable[[FileProgress], None]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with network.connection(
        workspace, "GET", url, what="LaMP's server", failure=DownloadFailed, seconds=60.0, redirects=True
    ) as answer:
        if answer.status_code != 200:
            raise DownloadFailed(
                f"LaMP's server answered {path.name} with status {answer.status_code}; try again later."
            )
        length = answer.headers.get("Content-Length", "")
        total, done = int(length) if length.isdigit() else 0, 0
        with partial.open("wb") as out:
            for block in network.blocks(answer, BLOCK):
                done += out.write(block)
                listener(FileProgress(path.name, done, total))
    if total and done != total:
        raise DownloadFailed(f"{path.name} should have {total:,} bytes but {done:,} came; run the same again.")
    os.replace(partial, path)


def download(
    workspace: Workspace,
    task: str,
    folder: Path,
    split: Split,
    listener: Callable[[FileProgress], None],
    source: str = SOURCE,
) -> tuple[Path, ...]:
    """A task's four files in the folder, those that are there left alone; raises DownloadFailed, BadInput and Offline.

    `split` is "time" (every user is in every file, the questions in the order of time) or "user".
    """
    wanted = addresses(task, split, source)
    folder.mkdir(parents=True, exist_ok=True)
    for name, url in wanted.items():
        if (folder / name).is_file():
            continue
        try:
            _fetch(workspace, url, folder / name, listener)
        except DownloadFailed as error:
            raise DownloadFailed(
                f"{str(error).rstrip('.')}; or fetch {url} elsewhere and put it into {folder} as {name}."
            ) from error
    return tuple(folder / name for name in wanted)
