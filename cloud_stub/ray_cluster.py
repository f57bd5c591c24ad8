"""The Ray cluster that work is spread over: one that runs already, or one of our own on this machine.

Knows nothing of what runs on it. Needs the extra `scale`.
"""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from typing import Any

OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Shared memory of a cluster of our own; requests pass it only in part, and nothing stays in it."""


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    """The Ray cluster that RAY_ADDRESS names, else one of our own on loopback, whose files are removed afterwards."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    own: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cdcda-ray-", ignore_cleanup_errors=True) as folder:
        if "RAY_ADDRESS" not in os.environ:
            # What keeps Ray's own ports on loopback, for all its name.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
            # Each replica has one port that Ray opens to all addresses: only who knows this token may use it.
            # Ray reads it once in a process.
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            # A busy machine is slow to start Ray's proxy and to answer it: neither is to be taken for dead.
            os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "30")
            os.environ.setdefault("RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S", "1")
            # People's texts are not to be spilled to a disk.
            kept = {"automatic_object_spilling_enabled": False}
            own = {"_temp_dir": folder, "object_store_memory": OBJECT_STORE_BYTES, "_system_config": kept}
        import ray

        ray.init(include_dashboard=False if own else None, logging_level="error", **own)
        try:
            yield
        finally:
            ray.shutdown()
