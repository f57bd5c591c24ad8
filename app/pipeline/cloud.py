"""The client of the augmentation service: sends what was approved and checks every line that comes back.

Nothing that a service says is trusted: lines are held to the schema, capped in length and number, belong to a record
that was asked for, and are stripped of control characters.
"""

import io
import json
import time
from collections.abc import Callable, Collection, Generator, Iterator
from typing import IO

import pydantic
import requests

from app.errors import ApprovalMismatch, CloudError, Offline
from app.pipeline import network
from app.pipeline.cleaning import clean
from app.pipeline.local_service import CloudAddress
from app.pipeline.payload import (
    LOCAL_DESTINATION,
    NOT_SAID,
    Destination,
    Payload,
    destination_of,
    rebuild_payload,
    require_approved,
    require_destination,
)
from app.pipeline.workspace import Workspace
from app.wording import counted
from cloud_stub.base_schemas import BaseDescription, Bases
from cloud_stub.schemas import (
    LINE,
    MAX_TEXT,
    SKIP_HEADER,
    Capabilities,
    FailureLine,
    PairLine,
    Problem,
    RecordLine,
    SummaryLine,
)
from personal_store import ledger

CloudLine = PairLine | FailureLine | RecordLine | SummaryLine

SERVICE = "The augmentation service"
UNNAMED = "a server that it does not name"
SILENCE_SECONDS = 1800.0
"""Longest wait for the next line: a large model on a slow computer needs minutes for one record."""
ANSWER_SECONDS = 10.0
"""Longest wait for what a service says of itself."""
MAX_LINE = 12 * MAX_TEXT
"""Bytes; two texts in their longest JSON form."""
MAX_ANSWER = 1024 * 1024
BUSY = (429, 503)
"""Answers of a service that cannot take a request on now."""
TIMES_BACK = 5
"""How often a busy service is asked again."""
LONGEST_WAIT = 300
"""Seconds; who is told to come back later than that is told so."""


class _Body(io.BytesIO):
    """The approved bytes; the ledger has its line before the first of them is read to be sent."""

    def __init__(self, workspace: Workspace, payload: Payload) -> None:
        super().__init__(payload.body)
        self._workspace = workspace
        self._payload = payload
        self.written_down = False

    def write_down(self, outcome: str) -> None:
        """Append the one line of this attempt to the ledger."""
        payload = self._payload
        with self._workspace.store() as store:
            ledger.append_upload(
                store, str(payload.destination), payload.record_ids, len(payload.body), payload.sha256, outcome
            )
        self.written_down = True

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes for the network."""
        if not self.written_down:
            self.write_down("sent")
        return super().read(size)


def _short(answer: requests.Response) -> bytes:
    """The first MAX_ANSWER bytes of an answer that should be short."""
    found = b""
    for block in network.blocks(answer, 65536):
        found += block
        if len(found) >= MAX_ANSWER:
            break
    return found


def _problem(answer: requests.Response) -> CloudError:
    """What a refusal says, in one sentence of our own."""
    if answer.status_code in (401, 403):
        return CloudError(f"{SERVICE} refused the token; give the right one with --cloud-token.")
    if answer.is_redirect:
        return CloudError(f"{SERVICE} points to another address, which is not followed; give that address yourself.")
    try:
        said = Problem.model_validate_json(_short(answer)).error
    except pydantic.ValidationError:
        said = f"status {answer.status_code}"
    return CloudError(
        f"{SERVICE} refused the request ({clean(said)[:300].rstrip('.')}); check its address and version."
    )


def _lines(answer: requests.Response) -> Iterator[bytes]:
    """Lines of the stream, none longer than MAX_LINE."""
    waiting = b""
    for block in network.blocks(answer, 65536):
        *whole, waiting = (waiting + block).split(b"\n")
        if len(waiting) > MAX_LINE or any(len(line) > MAX_LINE for line in whole):
            raise CloudError(f"{SERVICE} sent a line longer than {MAX_LINE:,} bytes; do not use this service.")
        yield from (line for line in whole if line.strip())
    if waiting.strip():
        yield waiting


def _checked(line: bytes, payload: Payload) -> CloudLine:
    try:
        message = LINE.validate_json(line)
    except pydantic.ValidationError:
        raise CloudError(
            f"{SERVICE} sent a line that is not of protocol 1; use a service of the same version as this program."
        ) from None
    if isinstance(message, SummaryLine):
        return message
    if message.reference not in payload.references:
        raise CloudError(f"{SERVICE} answered for a record that was not sent; do not use this service.")
    if isinstance(message, RecordLine):
        return message
    if message.number > payload.settings.k:
        asked = counted(payload.settings.k, "pair")
        raise CloudError(f"{SERVICE} answered with more than the {asked} asked for; do not use it.")
    return _cleaned(message) if isinstance(message, PairLine) else message


def _cleaned(line: PairLine) -> PairLine | FailureLine:
    source, target = clean(line.input).strip(), clean(line.output).strip()
    if not source or not target:
        return FailureLine(reference=line.reference, number=line.number, reason="unusable answer")
    return line.model_copy(update={"input": source, "output": target, "model": clean(line.model)})


def _stream(payload: Payload, answer: requests.Response) -> Iterator[CloudLine]:
    """Checked lines; at most k a record and one to end it, and a stream that ends without a summary is broken."""
    room = len(payload.record_ids) * (payload.settings.k + 2) + 1
    for line in _lines(answer):
        room -= 1
        if room < 0:
            raise CloudError(f"{SERVICE} sent more lines than were asked for; do not use this service.")
        message = _checked(line, payload)
        yield message
        if isinstance(message, SummaryLine):
            return
    raise CloudError(f"{SERVICE} broke off before it was done; resume the job to go on where it stopped.")


def _require_onward(workspace: Workspace, payload: Payload, address: CloudAddress) -> None:
    """Ask a service that the person named once more where records go on to, before it gets them.

    Raises ApprovalMismatch where that is not what was approved, and Offline where the offline switch is on and a
    service here would pass them on to another computer.
    """
    approved, offline = payload.destination.passes_on_to, network.is_offline(workspace)
    if address.local or (approved == NOT_SAID and not offline):
        return
    found = destination_of(address.url, _onward(capabilities(workspace, address)))
    if offline and not found.is_here:
        raise Offline(
            f"The offline switch is on, and the service at {address.url} passes on to {found.passes_on_to} what it"
            " gets; turn the switch off in the settings to go on."
        )
    if approved not in (NOT_SAID, found.passes_on_to):
        raise ApprovalMismatch(
            f"The payload was approved for {payload.destination}, but it would go to {found}; nothing was sent:"
            " preview and approve it again."
        )


def _require_unchanged(workspace: Workspace, payload: Payload) -> None:
    """Raise ApprovalMismatch where a record was changed, unticked or forgotten since the payload was made."""
    sent = (payload.destination, payload.record_ids, payload.settings, payload.uploads, payload.sha256)
    rebuild_payload(workspace, *sent)


def _attempt(
    workspace: Workspace, payload: Payload, address: CloudAddress, skip: Collection[str], body: IO[bytes]
) -> Iterator[CloudLine]:
    headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
    if skip:
        headers[SKIP_HEADER] = ",".join(sorted(skip))
    _require_onward(workspace, payload, address)
    _require_unchanged(workspace, payload)
    with network.connection(
        workspace,
        "POST",
        destination_of(address.url).url,
        what=SERVICE,
        failure=CloudError,
        token=address.token,
        headers=headers,
        body=body,
        seconds=SILENCE_SECONDS,
    ) as answer:
        if answer.status_code != 200:
            raise _refusal(answer)
        yield from _stream(payload, answer)


class _Busy(CloudError):
    """The service cannot take the request on now."""

    def __init__(self, sentence: str, seconds: int | None) -> None:
        super().__init__(sentence)
        self.seconds = seconds
        """When to come back, as it said; None where it did not say, or said a time out of all proportion."""


def _refusal(answer: requests.Response) -> CloudError:
    if answer.status_code not in BUSY:
        return _problem(answer)
    said = answer.headers.get("Retry-After", "").strip()
    # Dates, which the header may hold too, come from no service of ours.
    whole = said.isascii() and said.isdigit() and len(said) < 10
    seconds = max(1, int(said)) if whole and int(said) <= LONGEST_WAIT else None
    return _Busy(
        f"{SERVICE} is busy and refused the request for now; try again, or resume the job, in a while.", seconds
    )


def _sent_once(
    workspace: Workspace, payload: Payload, address: CloudAddress, skip: Collection[str]
) -> Iterator[CloudLine]:
    """One attempt, and its line of the ledger."""
    body = _Body(workspace, payload)
    try:
        yield from _attempt(workspace, payload, address, skip, body)
    except BaseException as error:
        if not body.written_down:
            body.write_down(f"not sent: {error or 'stopped'}")
        raise


def send_approved(
    workspace: Workspace,
    payload: Payload,
    approved: str,
    address: CloudAddress,
    skip: Collection[str] = frozenset(),
    waiting: Callable[[str], None] = lambda sentence: None,
) -> Generator[CloudLine, None, None]:
    """Send the payload to where it was approved for and yield what comes back.

    `skip` names the references that need not be done again.
    A service that is busy and says when to come back is asked again then, TIMES_BACK times at most; `waiting` is told.
    Raises ApprovalMismatch before anything is sent, at any attempt where the records are no longer as they were
    approved, Offline, and CloudError. Each attempt is one line of the ledger: "sent" from the first byte on, else why
    nothing left.
    """
    require_approved(payload, approved)
    require_destination(payload.destination.url, address)
    for time_back in range(TIMES_BACK + 1):
        try:
            yield from _sent_once(workspace, payload, address, skip)
            return
        except _Busy as busy:
            # Nothing was answered yet: a refusal comes before the first line.
            if busy.seconds is None or time_back == TIMES_BACK:
                raise CloudError(str(busy)) from None
            when = f"in {counted(busy.seconds, 'second')}"
            waiting(f"{SERVICE} is busy; asking again {when} ({time_back + 1} of {TIMES_BACK})")
            time.sleep(busy.seconds)


def _ask(workspace: Workspace, address: CloudAddress, path: str, seconds: float) -> bytes:
    url = address.url.rstrip("/") + path
    with network.connection(
        workspace, "GET", url, what=SERVICE, failure=CloudError, token=address.token, seconds=seconds
    ) as answer:
        if answer.status_code != 200:
            raise _refusal(answer)
        return _short(answer)


def capabilities(workspace: Workspace, address: CloudAddress) -> Capabilities:
    """What the service can do; raises CloudError and Offline."""
    try:
        found = json.loads(_ask(workspace, address, "/v1/capabilities", ANSWER_SECONDS))
        return Capabilities.model_validate(found)
    except ValueError:
        raise CloudError(f"{SERVICE} is not of protocol 1; use one of the same version as this program.") from None


def _onward(can: Capabilities) -> str | None:
    """The server that a service says it passes records on to, made safe to show on one line."""
    return None if can.passes_on_to is None else " ".join(clean(can.passes_on_to).split()) or UNNAMED


def find_destination(workspace: Workspace, address: CloudAddress | None) -> Destination:
    """Where records would go now; a service that the person named is asked where it passes them on to.

    Without an address it is the service that the program starts itself, which passes nothing on.
    """
    if address is None or address.local:
        return LOCAL_DESTINATION
    try:
        return destination_of(address.url, _onward(capabilities(workspace, address)))
    except (CloudError, Offline):
        return destination_of(address.url, NOT_SAID)


def bases(workspace: Workspace, address: CloudAddress) -> tuple[BaseDescription, ...]:
    """The task bases that the service offers; raises CloudError and Offline."""
    try:
        found = json.loads(_ask(workspace, address, "/v1/bases", 60.0))
        return Bases.model_validate(found).bases
    except ValueError:
        raise CloudError(f"{SERVICE} is not of protocol 1; use one of the same version as this program.") from None
