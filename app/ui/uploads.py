"""Files that the browser sent: copies that lie in a private folder, and go as soon as they were taken in."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gradio.utils import get_upload_folder


def let_go(files: Iterable[str | Path]) -> None:
    """Delete the copies; a file that lies elsewhere is the person's own and stays."""
    folder = Path(get_upload_folder()).resolve()
    for file in map(Path, files):
        if file.resolve().is_relative_to(folder):
            with contextlib.suppress(OSError):
                os.unlink(file)


@contextlib.contextmanager
def gone_after(files: Iterable[str | Path]) -> Iterator[None]:
    """Delete the copies once a block that takes them in ended well; after a refusal they can be tried another way."""
    yield
    let_go(files)
