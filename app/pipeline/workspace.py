"""Where everything of one person lies: one private folder.

    store.db     the history, the pairs, the ledger, the jobs
    models/      GGUF files that were pulled
    bases/       task bases that were fetched or made here
    prepared/    weights made ready for training and for writing fast, rebuilt when missing
    adapters/    what was learned, one folder an adapter
    logs/        error traces of jobs, without texts
    exports/     archives and adapters that were exported, once there are any

Knows no model and no screen.
"""

import dataclasses
import os
from pathlib import Path

from app.errors import BadInput
from personal_store.store import BUSY_SECONDS, Store, open_store

ENVIRONMENT = "CDCDA_DATA_DIR"


@dataclasses.dataclass(frozen=True)
class Workspace:
    """One person's folder."""

    data_dir: Path
    busy_seconds: float = BUSY_SECONDS
    """How long a change waits while another process changes the store."""

    @property
    def store_path(self) -> Path:
        """The one SQLite file."""
        return self.data_dir / "store.db"

    @property
    def models(self) -> Path:
        """GGUF files that were pulled."""
        return self.data_dir / "models"

    @property
    def bases(self) -> Path:
        """Task bases that were fetched or made here, one folder each."""
        return self.data_dir / "bases"

    @property
    def prepared(self) -> Path:
        """Weights made ready for training, and small models with adapters merged in."""
        return self.data_dir / "prepared"

    @property
    def adapters(self) -> Path:
        """One folder an adapter."""
        return self.data_dir / "adapters"

    @property
    def logs(self) -> Path:
        """Error traces of jobs."""
        return self.data_dir / "logs"

    @property
    def exports(self) -> Path:
        """Archives and adapters that were exported; missing until there are any."""
        return self.data_dir / "exports"

    def store(self) -> Store:
        """The open store: `with workspace.store() as store`. One per thread; cheap to open."""
        return open_store(self.store_path, self.busy_seconds)


def default_data_dir() -> Path:
    """CDCDA_DATA_DIR, else ~/.cdcda."""
    return Path(os.environ.get(ENVIRONMENT) or Path.home() / ".cdcda")


def open_workspace(data_dir: Path | str | None = None) -> Workspace:
    """The workspace in that folder, made (mode 0700) where it is missing; raises BadInput where it cannot be."""
    folder = Path(data_dir).expanduser().absolute() if data_dir else default_data_dir()
    workspace = Workspace(folder)
    try:
        for path in (folder, workspace.models, workspace.bases, workspace.prepared, workspace.adapters, workspace.logs):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadInput(
            f"The data folder {folder} cannot be made ({reason}); name a folder that you may write to with --data-dir."
        ) from None
    return workspace
