"""The person's adapters: renamed, noted, deleted, taken out in forms that other programs read, and brought back in.

What is exported stands on the bare model (`app.device.exporting`) and holds no text of the person, but it was learned
from their texts: who has it can make a model write like them.
"""

import contextlib
import dataclasses
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from app.device.adapters import (
    GGUF_ADAPTER,
    LICENCE,
    MANIFEST,
    Manifest,
    check_adapter,
    check_files,
    check_weights,
    finish,
    load_manifest,
)
from app.device.bases import TaskBase
from app.device.catalogue import LocalModel
from app.device.lora import ADAPTER_WEIGHTS
from app.device.merged import throw_away
from app.device.writing import writing
from app.errors import AdapterRefused, BadInput, NotWritten
from app.pipeline import bases, switching
from app.pipeline.cleaning import clean
from app.pipeline.models import device_model
from app.pipeline.workspace import Workspace
from personal_store import training
from personal_store.nouns import Adapter

Form = Literal["peft", "gguf", "merged", "ollama"]
"""A PEFT folder, which can be brought back in; a GGUF adapter; the whole model as GGUF; a folder with a Modelfile."""
FORMS: tuple[Form, ...] = get_args(Form)
LONGEST_NAME = 80
LONGEST_NOTE = 2_000
"""Characters."""
UNFINISHED = ".unfinished-"
"""Begins the name of a folder for what is being brought in or taken out."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was written."""

    form: Form
    path: str
    bytes: int


def _said(text: str, what: str, most: int) -> str:
    """A text of the person, trimmed; raises BadInput where it is too long."""
    text = clean(text).strip()
    if len(text) > most:
        raise BadInput(f"The {what} of an adapter has at most {most:,} characters and this one has {len(text):,}.")
    return text


def listing(workspace: Workspace) -> tuple[Adapter, ...]:
    """Every adapter, the newest first."""
    with workspace.store() as store:
        return training.adapters(store)


def rename(workspace: Workspace, adapter_id: int, name: str) -> Adapter:
    """Give an adapter another name; raises BadInput for an empty or long one, and NotFound."""
    name = " ".join(_said(name, "name", LONGEST_NAME).split())
    if not name:
        raise BadInput("An adapter needs a name; type one.")
    with workspace.store() as store:
        return training.rename_adapter(store, adapter_id, name)


def note(workspace: Workspace, adapter_id: int, text: str) -> Adapter:
    """Write something down about an adapter, or take it away with an empty text; raises BadInput and NotFound."""
    text = _said(text, "note", LONGEST_NOTE)
    with workspace.store() as store:
        return training.note_adapter(store, adapter_id, text)


def delete(workspace: Workspace, adapter_id: int) -> Adapter:
    """Delete an adapter with its files, the merged ones too; what it wrote stays. Raises NotFound."""
    with workspace.store() as store:
        adapter = training.get_adapter(store, adapter_id)
        training.delete_adapter(store, adapter_id)
    shutil.rmtree(workspace.adapters / adapter.folder, ignore_errors=True)
    throw_away(workspace.prepared)
    return adapter


def _checked(workspace: Workspace, folder: Path) -> tuple[LocalModel, Manifest, TaskBase | None]:
    """An adapter's folder held against the device model; raises AdapterRefused, ModelMissing and ModelDamaged."""
    from app.device.rendering import template_hash
    from app.device.tokenising import open_tokeniser

    model = device_model(workspace)
    template = template_hash(open_tokeniser(model))
    base = bases.of_story(workspace, load_manifest(folder).task_base, model, template)
    return model, check_adapter(folder, model, template, base.hash if base else None), base


def _write_peft(folder: Path, manifest: Manifest, base: TaskBase | None, out: Path) -> None:
    """The adapter as it is; joined with its base where it has one, and then with a manifest of its own."""
    from app.device.exporting import join
    from app.device.gguf_adapter import write_gguf_adapter

    out.mkdir(mode=0o700)
    if base is None:
        with writing("The adapter", out):
            for name in (*manifest.files, MANIFEST):
                shutil.copyfile(folder / name, out / name)
        return
    join(base.folder, folder, out)
    write_gguf_adapter(out, base.manifest.layout, out / GGUF_ADAPTER)
    finish(out, dataclasses.replace(manifest, task_base=None))


def _write_ollama(model: LocalModel, peft: Path, out: Path) -> None:
    from app.device.exporting import MODELFILE, modelfile, require_gguf
    from app.device.tokenising import open_tokeniser

    source, licence = require_gguf(model), peft / LICENCE
    out.mkdir(mode=0o700)
    words = licence.read_text("utf-8") if licence.is_file() else ""
    with writing("The model", out):
        shutil.copyfile(source, out / source.name)
        shutil.copyfile(peft / GGUF_ADAPTER, out / GGUF_ADAPTER)
        text = modelfile(open_tokeniser(model), source.name, GGUF_ADAPTER, words)
        (out / MODELFILE).write_text(text, "utf-8")


def _write(form: Form, model: LocalModel, peft: Path, out: Path) -> None:
    """Any other form, from an adapter that stands on the bare model."""
    from app.device.exporting import require_gguf
    from app.device.gguf_adapter import gguf_layout, write_gguf_adapter
    from app.device.gguf_merging import merge

    if form == "peft":
        peft.rename(out)
    elif form == "gguf":
        shutil.copyfile(peft / GGUF_ADAPTER, out)
    elif form == "merged":
        source, exact = require_gguf(model), peft / f"exact-{GGUF_ADAPTER}"
        # Not the form that is served, which is rounded: the sum is rounded only once.
        write_gguf_adapter(peft, gguf_layout(source), exact, "f32")
        merge(source, [exact], out)
    else:
        _write_ollama(model, peft, out)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _usual_path(workspace: Workspace, adapter: Adapter, form: Form) -> Path:
    """Below the data folder's exports, with a number where there is one of that name already."""
    folder = workspace.data_dir / "exports"
    with writing("The export", folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    stem = f"{slug(adapter.name)}-{form}"
    suffix = ".gguf" if form in ("gguf", "merged") else ""
    numbers = ("", *(f"-{number}" for number in range(2, 1_000)))
    return next(path for number in numbers if not (path := folder / f"{stem}{number}{suffix}").exists())


def slug(name: str) -> str:
    """A name as part of a file's name or an address: small letters, digits and hyphens; never empty."""
    return re.sub(r"[^\w]+", "-", name.lower()).strip("-_") or "adapter"


@contextlib.contextmanager
def _room_beside(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what is not finished, which goes; raises BadInput, DiskFull and NotWritten."""
    try:
        with (
            writing("The export", path.parent),
            tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=path.parent) as folder,
        ):
            yield Path(folder)
    except NotWritten as error:
        if isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError, PermissionError)):
            raise BadInput(str(error)) from None
        raise


def export(workspace: Workspace, adapter_id: int, form: Form, out: Path | str | None = None) -> Exported:
    """Write an adapter in a form for other programs; it appears whole or not at all.

    Without `out`, below the exports of the data folder. Raises NotFound, BadInput where `out` exists or cannot be
    written, AdapterRefused where the adapter does not fit the device model or the model has not that form, DiskFull and
    NotWritten.
    """
    if form not in get_args(Form):
        raise BadInput(
            f"An adapter is exported as one of {', '.join(get_args(Form))}, got {form!r}; choose one of these."
        )
    with workspace.store() as store:
        adapter = training.get_adapter(store, adapter_id)
    path = Path(out).expanduser() if out else _usual_path(workspace, adapter, form)
    if path.exists():
        raise BadInput(f"{path} is there already; name another with --out.")
    switching.require_fit(adapter, device_model(workspace))
    folder = workspace.adapters / adapter.folder
    model, manifest, base = _checked(workspace, folder)
    with _room_beside(path) as unfinished:
        # Not under the name that is asked for: it may be that of the folder beside.
        peft, made = unfinished / "peft", unfinished / "made"
        _write_peft(folder, manifest, base, peft)
        _write(form, model, peft, made)
        made.rename(path)
    return Exported(form, str(path.absolute()), _size(path))


def _check_manifest(folder: Path) -> Manifest:
    """The manifest of a folder that came from anywhere: of the right types, and with files that are whole."""
    import pydantic

    manifest = load_manifest(folder)
    try:
        checked = pydantic.TypeAdapter(Manifest).validate_python(dataclasses.asdict(manifest))
    except pydantic.ValidationError:
        raise AdapterRefused(
            f"The {MANIFEST} of adapter {folder.name} is not as this program writes it; export the adapter again."
        ) from None
    check_files(folder, checked.files)
    return checked


def _copy_in(source: Path, into: Path) -> Path:
    """The files that the manifest names, and nothing else that may lie beside them."""
    manifest = _check_manifest(source)
    folder = into / slug(source.name)
    folder.mkdir(mode=0o700)
    with writing("The adapter", folder):
        for name in (*manifest.files, MANIFEST):
            shutil.copyfile(source / name, folder / name)
    return folder


def _refuse_second(workspace: Workspace, manifest: Manifest) -> None:
    for adapter in listing(workspace):
        if adapter.manifest.get("files", {}).get(ADAPTER_WEIGHTS) == manifest.files[ADAPTER_WEIGHTS]:
            raise AdapterRefused(
                f"This adapter is here already: it is number {adapter.id}, {adapter.name}; delete that one first to"
                " bring it in again."
            )


def _enter(workspace: Workspace, folder: Path, name: str, manifest: Manifest) -> Adapter:
    told: dict[str, Any] = {**dataclasses.asdict(manifest), "losses": []}
    home = f"imported-{manifest.files[ADAPTER_WEIGHTS][:16]}"
    shutil.rmtree(workspace.adapters / home, ignore_errors=True)
    folder.rename(workspace.adapters / home)
    with workspace.store() as store:
        learned = training.find_training_set(store, manifest.training_set_hash)
        return training.add_adapter(store, name, home, manifest.base, learned.id if learned else None, None, told)


def bring_in(workspace: Workspace, folder: Path | str, name: str = "") -> Adapter:
    """Bring a PEFT folder back in that `export` wrote; it is not switched on. It is copied, and checked as one in use.

    Raises AdapterRefused for a folder that is none, is damaged, was made for another base or is here already; BadInput,
    ModelMissing, ModelDamaged, DiskFull and NotWritten.
    """
    source = Path(folder).expanduser().resolve()
    if not source.is_dir():
        raise AdapterRefused(
            f"{folder} should be the folder of an adapter but is none; name one that `cdcda adapters export` wrote in"
            " the form peft."
        )
    name = " ".join(_said(name or source.name, "name", LONGEST_NAME).split()) or "Imported"
    with (
        writing("The adapter", workspace.adapters),
        tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=workspace.adapters) as unfinished,
    ):
        copied = _copy_in(source, Path(unfinished))
        _, manifest, _ = _checked(workspace, copied)
        check_weights(copied)
        _refuse_second(workspace, manifest)
        return _enter(workspace, copied, name, manifest)
