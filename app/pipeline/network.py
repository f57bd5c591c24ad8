"""The one module that opens outbound connections.

Knows nothing of what is sent. The offline switch is enforced here: when it is on, only this computer is spoken to.
"""

import ipaddress
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Literal

import requests
import requests.auth
import urllib3.exceptions

from app.errors import AppError, BadInput, Offline
from app.pipeline.workspace import Workspace
from personal_store import preferences

PREFERENCE = "offline"
CONNECT_SECONDS = 10.0


class _Bearer(requests.auth.AuthBase):
    """Sets the token itself, so that no password file of the computer is consulted."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def is_offline(workspace: Workspace) -> bool:
    """Whether the offline switch is on."""
    with workspace.store() as store:
        return preferences.get(store, PREFERENCE, False)


def set_offline(workspace: Workspace, offline: bool) -> None:
    """Turn the offline switch."""
    with workspace.store() as store:
        preferences.put(store, PREFERENCE, offline)


def is_this_computer(url: str) -> bool:
    """Whether an address is a loopback address of this computer; raises BadInput where it is no http address."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urllib.parse.urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput(f"Expected an address like http://127.0.0.1:8765, got {url!r}; correct the address.")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_allowed(workspace: Workspace, url: str) -> None:
    """Raise Offline when the offline switch is on and the address is not this computer's."""
    if not is_this_computer(url) and is_offline(workspace):
        host = urllib.parse.urlsplit(url).hostname
        raise Offline(f"The offline switch is on, so nothing is sent to {host}; turn it off in the settings to go on.")


def blocks(answer: requests.Response, size: int) -> Iterator[bytes]:
    """The bytes of an answer as they arrive, at most `size` at once, whichever way the sender frames them."""
    while block := answer.raw.read1(size, decode_content=False):
        yield block


def _sentence(what: str, error: Exception) -> str:
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return f"{what} did not answer in time; check that it is running and try again."
    if isinstance(error, requests.exceptions.SSLError):
        return f"{what} showed no valid certificate; check its address."
    if isinstance(error, requests.ConnectionError):
        return f"{what} cannot be reached; check that it is running and that the address is right."
    return f"The connection to {what} broke off ({type(error).__name__}); try again."


@contextmanager
def connection(
    workspace: Workspace,
    method: Literal["GET", "HEAD", "POST"],
    url: str,
    *,
    what: str,
    failure: type[AppError],
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: IO[bytes] | bytes | None = None,
    seconds: float = 30.0,
    redirects: bool = False,
) -> Iterator[requests.Response]:
    """An answer, still streaming, to one request; `seconds` is the longest silence.

    Raises Offline, and `failure` with a sentence about `what` when the connection fails, now or while it is read.
    """
    require_allowed(workspace, url)
    with requests.Session() as session:
        # A proxy of the environment would get to see what goes to this very computer.
        session.trust_env = not is_this_computer(url)
        try:
            with session.request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                data=body,
                auth=_Bearer(token),
                timeout=(CONNECT_SECONDS, seconds),
                stream=True,
                allow_redirects=redirects,
            ) as answer:
                yield answer
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise failure(_sentence(what, error)) from None
