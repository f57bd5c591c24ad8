"""What the page works with: made once by app/__main__, handed to every tab."""

import dataclasses

from app.pipeline.generation import Writer
from app.pipeline.local_service import CloudAddress, OwnService
from app.pipeline.workspace import Workspace
from app.ui.downloads import Downloads
from app.ui.underway import Imports
from app.ui.uploads import Uploads


@dataclasses.dataclass
class Services:
    """The data folder, the augmentation service, and the engine that writes."""

    workspace: Workspace
    cloud: CloudAddress
    """Where approved records go; Settings can change it while the app runs. Who sends takes `reached`."""
    writer: Writer
    own: OwnService | None = None
    """The service that the app started itself; None when it was given an address."""
    passes_on_to: dict[str, str | None] = dataclasses.field(default_factory=dict)
    """By address, what services that the person named last said of where they pass records on to."""
    downloads: Downloads = dataclasses.field(init=False)
    uploads: Uploads = dataclasses.field(init=False)
    imports: Imports = dataclasses.field(init=False)

    def __post_init__(self) -> None:  # noqa: D105
        self.downloads, self.uploads, self.imports = Downloads(), Uploads(), Imports()

    def reached(self) -> CloudAddress:
        """Where approved records go, once the app's own service was started again where it had ended; raises
        CloudError."""
        cloud = self.cloud
        if self.own is None or not cloud.local:
            return cloud
        now = self.own.revive()
        # Another one may have been chosen in Settings meanwhile.
        if self.cloud == cloud:
            self.cloud = now
        return now
