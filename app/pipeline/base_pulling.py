"""Fetches a task base from an augmentation service: whole or not at all, and only as the bytes that it announced.

A fetch that broke off goes on where it stopped. The base grows in a folder whose name begins with a dot.
"""

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from app.device.adapters import MANIFEST, check_files
from app.device.bases import TaskBase, load_base
from app.device.weights import file_hash
from app.device.writing import writing
from app.errors import AdapterRefused, BadInput, DownloadFailed, ModelMissing
from app.pipeline import cloud, network
from app.pipeline.cleaning import clean
from app.pipeline.cloud import SERVICE
from app.pipeline.local_service import CloudAddress
from app.pipeline.pulling import BLOCK, KEPT, Listener, PullProgress, fetching, require_room
from app.pipeline.workspace import Workspace
from cloud_stub.base_schemas import BaseDescription, BaseFile


def _find(workspace: Workspace, address: CloudAddress, name: str) -> BaseDescription:
    offered = cloud.bases(workspace, address)
    for offer in offered:
        if offer.name == name:
            return offer
    names = ", ".join(offer.name for offer in offered) or "none"
    raise ModelMissing(f"The service offers no base {name!r} (it offers: {names}); choose one of these.")


def _receive(
    workspace: Workspace, address: CloudAddress, url: str, file: BaseFile, path: Path, listener: Callable[[int], None]
) -> None:
    """Brings the rest of a file in; raises DownloadFailed and CloudError."""
    have = path.stat().st_size if path.exists() else 0
    with (
        network.connection(
            workspace,
            "GET",
            url,
            what=SERVICE,
            failure=DownloadFailed,
            token=address.token,
            headers={"Range": f"bytes={have}-"} if have else {},
            seconds=60.0,
        ) as answer,
    ):
        if answer.status_code not in (200, 206):
            raise DownloadFailed(f"{SERVICE} answered with status {answer.status_code} for {file.name}; try again.")
        have = have if answer.status_code == 206 else 0
        with path.open("ab" if have else "wb") as out:
            for block in network.blocks(answer, BLOCK):
                have += out.write(block)
                if have > file.bytes:
                    raise DownloadFailed(
                        f"{SERVICE} sent more of {file.name} than it announced; nothing of it is used."
                    )
                listener(have)


def _check(file: BaseFile, path: Path) -> None:
    """Raises DownloadFailed unless the file is the one announced; one of the full size that is not is removed."""
    size = path.stat().st_size
    if size < file.bytes:
        raise DownloadFailed(f"{SERVICE} broke off in {file.name}; what has arrived is kept, run the same again.")
    if size > file.bytes or file_hash(path) != file.sha256:
        path.unlink()
        raise DownloadFailed(f"What arrived as {file.name} has another SHA-256 than announced; nothing of it was kept.")


def _fetch(
    workspace: Workspace, address: CloudAddress, offer: BaseDescription, folder: Path, listener: Listener
) -> None:
    done, total = 0, sum(file.bytes for file in offer.files)
    for file in offer.files:
        path = folder / file.name
        if not path.exists() or path.stat().st_size < file.bytes:

            def listen(have: int, before: int = done, name: str = file.name) -> None:
                listener(PullProgress(before + have, total, address.url, f"{offer.name}, {name}"))

            url = f"{address.url.rstrip('/')}/v1/bases/{offer.name}/files/{file.name}"
            _receive(workspace, address, url, file, path, listen)
        _check(file, path)
        done += file.bytes
    listener(PullProgress(done, total, address.url, offer.name))


def _check_base(folder: Path, offer: BaseDescription) -> None:
    """Raises DownloadFailed unless what arrived is a whole base of that name, and nothing beside it."""
    try:
        base = load_base(folder)
        check_files(folder, base.manifest.files)
    except AdapterRefused as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DownloadFailed(f"What the service sent as {offer.name} is no base ({clean(str(error))[:200]})") from None
    extra = {path.name for path in folder.iterdir()} - {MANIFEST, *base.manifest.files}
    if base.name != offer.name or base.manifest.task != offer.task or extra:
        shutil.rmtree(folder, ignore_errors=True)
        raise DownloadFailed(f"What the service sent as {offer.name} is another base than it announced; do not use it.")


def _remove_others(folder: Path, names: Collection[str]) -> None:
    """Removes what an earlier fetch left of files that are no longer offered."""
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def _same_here(target: Path, offer: BaseDescription) -> bool:
    """Whether this very base is here already; raises BadInput where another one has its name."""
    if not target.exists():
        return False
    announced = {file.name: file.sha256 for file in offer.files}
    if (target / MANIFEST).is_file() and file_hash(target / MANIFEST) == announced.get(MANIFEST):
        return True
    raise BadInput(
        f"There is another base {offer.name} on this computer; remove it with `cdcda bases remove {offer.name}` to"
        " fetch this one."
    )


def _into(
    workspace: Workspace, address: CloudAddress, offer: BaseDescription, target: Path, listener: Listener
) -> None:
    folder = target.with_name(f".{offer.name}.partial")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with fetching(folder, offer.name):
        require_room(folder, sum(file.bytes for file in offer.files))
        _remove_others(folder, {file.name for file in offer.files})
        _fetch(workspace, address, offer, folder, listener)
        _check_base(folder, offer)
        os.replace(folder, target)


def pull_base(workspace: Workspace, address: CloudAddress, name: str, listener: Listener) -> TaskBase:
    """The base of that name from the service, fetched unless it is here.

    Raises ModelMissing, DownloadFailed, also where another process fetches it; CloudError, BadInput, Offline, DiskFull
    and NotWritten.
    """
    offer = _find(workspace, address, name)
    target = workspace.bases / offer.name
    if not _same_here(target, offer):
        with writing(f"What is fetched of {offer.name}", workspace.bases, then=KEPT):
            _into(workspace, address, offer, target, listener)
    return load_base(target)
