"""Small settings by name, as JSON values, and the secret under which records are referred to."""

import json
import secrets
from typing import Any, TypeVar

from personal_store.store import Store

SECRET = "secret of record references"
SECRET_BYTES = 32

T = TypeVar("T")


def get(store: Store, name: str, default: T) -> T:
    """The value under that name, or the default. Tuples come back as lists."""
    value: str | None = store.value("SELECT value FROM preferences WHERE name = ?", [name])
    if value is None:
        return default
    found: T = json.loads(value)
    return found


def put(store: Store, name: str, value: Any) -> None:
    """Keep a JSON value under a name."""
    store.run(
        "INSERT INTO preferences VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [name, json.dumps(value)],
    )


def remove(store: Store, name: str) -> None:
    """Let the default hold again for a name."""
    store.run("DELETE FROM preferences WHERE name = ?", [name])


def secret(store: Store) -> bytes:
    """32 random bytes, made once for each store: who lacks them cannot tell which record a reference means."""
    store.run(
        "INSERT INTO preferences VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
        [SECRET, json.dumps(secrets.token_hex(SECRET_BYTES))],
    )
    return bytes.fromhex(get(store, SECRET, ""))
