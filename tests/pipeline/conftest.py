"""A service that a test can steer."""

from collections.abc import Iterator

import pytest

from tests.pipeline.recording_service import RecordingService, recording_service


@pytest.fixture
def service() -> Iterator[RecordingService]:
    """One that keeps what it gets, on a free port."""
    with recording_service() as running:
        yield running
