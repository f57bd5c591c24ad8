"""For every test: no model hub, no telemetry, and no connection that leaves this computer."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from app.device.threads import share_cores
from app.pipeline import names

# A deadline measures the neighbours on a shared computer.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=40)
hypothesis.settings.load_profile("quick")

# Before anything loads torch: two processes test beside each other, and threads that spin take each other's cores.
share_cores()
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
for name in (
    "CDCDA_DATA_DIR",
    "CDCDA_CLOUD_URL",
    "CDCDA_CLOUD_TOKEN",
    "CDCDA_CLOUD_MODEL",
    "CDCDA_DEVICE_MODEL",
    "CDCDA_SERVE_TOKEN",
):
    os.environ.pop(name, None)

LOOPBACK = ("127.", "::1", "localhost", "::ffff:127.")


class OutboundConnection(AssertionError):
    """A test tried to reach another computer."""


def _refuse_others(family: int, address: Any) -> None:
    if family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(LOOPBACK):
        raise OutboundConnection(f"a test tried to connect to {address!r}")


def pytest_configure(config: pytest.Config) -> None:
    """Each of several testing processes, and what it starts, keeps to cores of its own.

    Threads that compute wait for each other, and would wait for the neighbour's most of the time.
    """
    told = getattr(config, "workerinput", None)
    if told is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        own = cores[int(told["workerid"].removeprefix("gw")) :: told["workercount"]]
        os.sched_setaffinity(0, own or cores)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes share the tests: slow ones beside each other are those of the page and those of the models."""
    for item in items:
        if "slow" in item.keywords:
            of_page = {"ui", "browser"} & set(item.path.parts)
            item.add_marker(pytest.mark.xdist_group("page" if of_page else "models"))


@pytest.fixture(autouse=True, scope="session")
def nobody_is_known_by_name() -> Iterator[None]:
    """The same findings whether the extra `names` is installed or not; its own tests load it themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names, "recogniser", lambda: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def only_this_computer() -> Iterator[None]:
    """Refuse every connection that is not to this computer."""
    with pytest.MonkeyPatch.context() as patch:
        for method in ("connect", "connect_ex"):
            original = getattr(socket.socket, method)

            def guarded(self: socket.socket, address: Any, original: Any = original) -> Any:
                _refuse_others(self.family, address)
                return original(self, address)

            patch.setattr(socket.socket, method, guarded)
        yield


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder of this test's own."""
    return tmp_path / "data"
