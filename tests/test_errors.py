"""Each kind of error that the documents name can really come up."""

import inspect
import pathlib
import re
import types

import pytest

from app import errors as app_errors
from cloud_stub import errors as service_errors
from personal_store import errors as store_errors

ROOT = pathlib.Path(__file__).resolve().parent.parent


def classes(module: types.ModuleType, root: type[Exception]) -> list[type[Exception]]:
    found = [item for _, item in inspect.getmembers(module, inspect.isclass)]
    return [
        item for item in found if issubclass(item, root) and item is not root and item.__module__ == module.__name__
    ]


KINDS = [
    *classes(app_errors, app_errors.AppError),
    *classes(store_errors, store_errors.StoreError),
    *classes(service_errors, service_errors.ServiceError),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_is_raised_somewhere_and_drawn_in_its_tree(kind: type[Exception]) -> None:
    module = inspect.getmodule(kind)
    assert module is not None
    package, file = kind.__module__.split(".")
    sources = [path for path in (ROOT / package).rglob("*.py") if path.name != f"{file}.py"]
    assert any(re.search(rf"\b{kind.__name__}\(", path.read_text(encoding="utf-8")) for path in sources)
    assert re.search(rf"^ +{kind.__name__} ", module.__doc__ or "", re.M)
