"""The task bases that the service offers: those of its folder and those of the install, as lists and as files.

A name in a request is only ever looked up among those offered, and never made into a path. A folder without a whole
manifest is not offered.
"""

import hashlib
import importlib.resources
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import fastapi
import fastapi.security
import pydantic
from fastapi.responses import FileResponse, JSONResponse

from cloud_stub.base_schemas import BaseDescription, BaseFile, Bases
from cloud_stub.schemas import Problem

MANIFEST = "manifest.json"
_COPIED = ("name", "title", "task", "model", "data", "licence", "attribution", "users", "examples")
_NONE = "There is no such base or file here; /v1/bases lists what there is."


def embedded_bases() -> pathlib.Path:
    """The folder of the bases that come with the install."""
    return pathlib.Path(str(importlib.resources.files("assets"))) / "bases"


def _files(folder: pathlib.Path, manifest: dict[str, Any], own: bytes) -> list[BaseFile]:
    """The files that the manifest names, and the manifest as the last."""
    named = [
        BaseFile(name=name, bytes=(folder / name).stat().st_size, sha256=sha256)
        for name, sha256 in sorted(manifest["files"].items())
    ]
    return [*named, BaseFile(name=MANIFEST, bytes=len(own), sha256=hashlib.sha256(own).hexdigest())]


def describe(folder: pathlib.Path) -> BaseDescription | None:
    """What the folder's manifest says of it; None where it is unfinished, unreadable or of another form."""
    try:
        own = (folder / MANIFEST).read_bytes()
        manifest = json.loads(own)
        files, scores = _files(folder, manifest, own), dict(manifest["scores"])
        return BaseDescription(
            **{name: manifest[name] for name in _COPIED},
            model_sha256=manifest["model_hash"],
            questions=scores.pop("questions", 0),
            scores=scores,
            bytes=sum(file.bytes for file in files),
            files=tuple(files),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pydantic.ValidationError):
        return None


def _whole(parent: pathlib.Path) -> Iterator[tuple[pathlib.Path, BaseDescription]]:
    for path in sorted(parent.glob(f"[!.]*/{MANIFEST}")):
        if (found := describe(path.parent)) is not None:
            yield path.parent, found


def offered(bases_dir: pathlib.Path) -> dict[str, tuple[pathlib.Path, BaseDescription]]:
    """Folder and description by name; one of the folder outranks one of the same name that came with the install."""
    parents = (embedded_bases(), bases_dir.expanduser())
    return {found.name: (folder, found) for parent in parents for folder, found in _whole(parent)}


def build_router(bases_dir: pathlib.Path) -> fastapi.APIRouter:
    """The routes under /v1/bases; the folder is read anew for each request."""
    secured = [fastapi.Depends(fastapi.security.HTTPBearer(auto_error=False))]
    router = fastapi.APIRouter(dependencies=secured, responses={401: {"model": Problem}})

    @router.get("/v1/bases")
    def bases() -> Bases:
        """The bases that can be fetched, with their files, licences and scores."""
        return Bases(bases=tuple(found for _, found in offered(bases_dir).values()))

    @router.get("/v1/bases/{name}/files/{file}", response_class=FileResponse, responses={404: {"model": Problem}})
    def base_file(name: str, file: str) -> fastapi.Response:
        """A file of a base; takes a Range."""
        folder, found = offered(bases_dir).get(name, (None, None))
        if folder is None or found is None or file not in [one.name for one in found.files]:
            return JSONResponse(Problem(error=_NONE).model_dump(), 404)
        return FileResponse(folder / file, media_type="application/octet-stream")

    return router
