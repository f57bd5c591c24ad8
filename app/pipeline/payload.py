"""What leaves: the exact bytes that a person previews and approves. Opens no connection.

The same shared records, settings and number of earlier uploads give the same bytes, so an approval holds until the next
upload. It is one of the bytes and of where they go, together. A record travels under a reference that means nothing
without the secret of this store.
"""

import collections
import dataclasses
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pydantic

from app.errors import ApprovalMismatch, BadInput, NothingShared
from app.pipeline.judging import Thresholds, load_thresholds
from app.pipeline.local_service import CloudAddress
from app.pipeline.looking import look
from app.pipeline.network import is_this_computer
from app.pipeline.sensitivity import redact
from app.pipeline.tasks import find_task
from app.pipeline.workspace import Workspace
from app.wording import counted
from cloud_stub import schemas
from cloud_stub.schemas import MAX_BODY, MAX_RECORDS, AugmentRequest, PromptForm, SharedRecord
from personal_store import ledger, preferences, records
from personal_store.errors import NotFound
from personal_store.nouns import Record
from personal_store.store import Store

AnswerKind = Literal["text", "label", "rating"]
PROMPTS: Mapping[PromptForm, str] = {
    "auto": "in the form that suits the service's model",
    "paper": "in the words of the method's paper, for a pair semantically similar to the record",
    "rewrite": "for a pair like the record, its input written anew",
    "sentences": "to say each sentence of the input in other words; the output stays yours",
}
"""How the model is asked in each form."""
TEMPERATURE = 0.7
"""As in the source."""
NOT_SAID = ""
"""For the server that a service passes records on to, where it did not say whether there is one."""


def _is_here(url: str) -> bool:
    try:
        return is_this_computer(url)
    except BadInput:
        return False


@dataclasses.dataclass(frozen=True)
class Destination:
    """Where records go. As text it is what a person is shown and approves, and what the ledger keeps."""

    url: str
    """The address that takes them."""
    passes_on_to: str | None = None
    """The server that the service there says it passes them on to; None: to none."""

    def __str__(self) -> str:
        """The address, and where it goes on from there."""
        if self.passes_on_to is None:
            return self.url
        if self.passes_on_to == NOT_SAID:
            return f"{self.url}, which did not say whether it passes records on"
        return f"{self.url}, which passes records on to {self.passes_on_to}"

    @property
    def is_here(self) -> bool:
        """Whether records stay on this computer, by what is known of it."""
        return _is_here(self.url) and (not self.passes_on_to or _is_here(f"http://{self.passes_on_to}"))


LOCAL_DESTINATION = Destination("http://127.0.0.1/v1/augment")
"""The service that the program starts itself; its port is chosen when it starts."""


def approval_of(destination: Destination, sha256: str) -> str:
    """What a person approves: SHA-256 (hex) of where the bytes go and of the bytes' own SHA-256, a line each."""
    return hashlib.sha256(f"{destination}\n{sha256}\n".encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class PayloadSettings:
    """What is asked of the service."""

    k: int = 5
    """Pairs for each record, 1 to 20."""
    seed: int = 0
    prompt: PromptForm = "auto"
    thresholds: Thresholds = dataclasses.field(default_factory=Thresholds)
    """What will be kept: the service draws again what would not pass."""


@dataclasses.dataclass(frozen=True)
class Payload:
    """Bytes that may leave once they are approved."""

    destination: Destination
    body: bytes
    sha256: str
    """SHA-256 (hex) of the body."""
    task: str
    record_ids: tuple[int, ...]
    references: Mapping[str, int]
    """Record ids by the reference they travel under; stays at home."""
    meanings: Mapping[str, Mapping[str, str]]
    """By reference, what the placeholders of a redacted record stand for; stays at home."""
    uploads: int
    """Uploads before this one; a part of the references."""
    settings: PayloadSettings
    other_tasks: Mapping[str, int]
    """Shared records of other tasks, which are not in this payload."""

    @property
    def approval(self) -> str:
        """The hash that a person approves: of the bytes and of where they go."""
        return approval_of(self.destination, self.sha256)

    @property
    def request(self) -> dict[str, Any]:
        """The body as it can be read."""
        return dict(json.loads(self.body))

    @property
    def asked(self) -> str:
        """What the service is asked to do with each record, in words."""
        wanted, limits = self.settings, self.settings.thresholds
        return (
            f"{counted(wanted.k, 'new pair')} for each record, asked for {PROMPTS[wanted.prompt]}"
            f" (prompt {wanted.prompt!r}); temperature {TEMPERATURE}, seed {wanted.seed};"
            f" meaning kept at least {limits.entailment}, wording shared at most {limits.rouge_l},"
            f" length {limits.shortest} to {limits.longest} times"
        )


def destination_of(url: str, passes_on_to: str | None = None) -> Destination:
    """Where a service at this base address takes records."""
    base = url.rstrip("/")
    # Without its port it would read as the service that the program starts itself.
    return Destination((f"{base}:80" if base == "http://127.0.0.1" else base) + "/v1/augment", passes_on_to)


def require_destination(destination: str, address: CloudAddress | None) -> None:
    """Raise ApprovalMismatch unless the address is the one that was approved; where it passes on to is not asked.

    For a service that this program starts (None, or `local`) any address of this computer is the same destination.
    """
    local = address is None or (address.local and is_this_computer(address.url))
    expected = (LOCAL_DESTINATION if address is None else destination_of(address.url)).url
    if destination != expected and not (local and is_this_computer(destination)):
        raise ApprovalMismatch(
            f"The payload was approved for {destination}, but the service is {expected}; preview and approve it again."
        )


def _reference(secret: bytes, uploads: int, record_id: int) -> str:
    return hmac.new(secret, f"{uploads}:{record_id}".encode(), hashlib.sha256).hexdigest()[:16]


def outgoing(record: Record) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Input and output as they would leave, and what placeholders stand for where the person wanted them."""
    texts = (record.input, record.output)
    return redact(*texts) if record.shared_as == "redacted" else (texts, {})


def _shared(reference: str, record: Record) -> SharedRecord:
    (source, target), _ = outgoing(record)
    return SharedRecord(reference=reference, input=source, output=target)


def _body(shared: Mapping[str, Record], answer: AnswerKind, settings: PayloadSettings) -> bytes:
    try:
        request = AugmentRequest(
            records=tuple(_shared(reference, record) for reference, record in shared.items()),
            answer=answer,
            k=settings.k,
            prompt=settings.prompt,
            temperature=TEMPERATURE,
            seed=settings.seed,
            thresholds=schemas.Thresholds(**dataclasses.asdict(settings.thresholds)),
        )
    except pydantic.ValidationError as error:
        # The errors' own text would repeat the record.
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise BadInput(f"The request cannot be made because {where} is out of range; choose another value.") from None
    return json.dumps(request.model_dump(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _make(
    workspace: Workspace,
    store: Store,
    chosen: Sequence[Record],
    destination: Destination,
    settings: PayloadSettings,
    uploads: int,
    other_tasks: Mapping[str, int],
) -> Payload:
    task = chosen[0].task
    secret = preferences.secret(store)
    shared = {_reference(secret, uploads, record.id): record for record in chosen}
    body = _body(shared, find_task(workspace, task).answer, settings)
    if len(body) > MAX_BODY:
        raise BadInput(f"The shared records make {len(body):,} bytes, more than {MAX_BODY:,}; share fewer of them.")
    return Payload(
        destination=destination,
        body=body,
        sha256=hashlib.sha256(body).hexdigest(),
        task=task,
        record_ids=tuple(record.id for record in chosen),
        references={reference: record.id for reference, record in shared.items()},
        meanings={reference: outgoing(record)[1] for reference, record in shared.items()},
        uploads=uploads,
        settings=settings,
        other_tasks=other_tasks,
    )


def _choose_task(workspace: Workspace, shared: Sequence[Record], task: str | None) -> str:
    counts = collections.Counter(record.task for record in shared)
    if task is None:
        return min(counts, key=lambda name: (-counts[name], name))
    name = find_task(workspace, task).name
    if name not in counts:
        raise NothingShared(
            f"No record of the task {name!r} is shared; share some with `cdcda share`, or choose one of"
            f" {', '.join(sorted(counts))}."
        )
    return name


def build_payload(
    workspace: Workspace,
    destination: Destination = LOCAL_DESTINATION,
    *,
    k: int = 5,
    seed: int = 0,
    prompt: PromptForm = "auto",
    task: str | None = None,
) -> Payload:
    """The payload of the records that are shared now; of one task: the one named, else the one with most of them.

    Raises NothingShared, and BadInput where a setting is out of range or there is too much.
    """
    with workspace.store() as store:
        # A record that was edited since it was ticked is looked at again before it can be a part of anything.
        look(store)
        shared = records.shared_records(store)
        if not shared:
            raise NothingShared("No record is shared; choose some on the Share page or with `cdcda share`.")
        name = _choose_task(workspace, shared, task)
        chosen = [record for record in shared if record.task == name]
        if len(chosen) > MAX_RECORDS:
            raise BadInput(
                f"One request takes at most {MAX_RECORDS:,} records and {len(chosen):,} are shared; share fewer."
            )
        others = collections.Counter(record.task for record in shared if record.task != name)
        settings = PayloadSettings(k, seed, prompt, load_thresholds(workspace))
        return _make(workspace, store, chosen, destination, settings, len(ledger.uploads(store)), dict(others))


def rebuild_payload(
    workspace: Workspace,
    destination: Destination,
    record_ids: Sequence[int],
    settings: PayloadSettings,
    uploads: int,
    sha256: str,
) -> Payload:
    """The payload that was approved earlier, byte for byte; raises ApprovalMismatch where its records have changed."""
    changed = ApprovalMismatch(
        "The shared records have changed since they were approved; preview and approve them again."
    )
    with workspace.store() as store:
        try:
            chosen = records.get_records(store, record_ids)
        except NotFound:
            raise changed from None
        if not chosen or not all(record.shared for record in chosen):
            raise changed
        payload = _make(workspace, store, chosen, destination, settings, uploads, {})
    if payload.sha256 != sha256:
        raise changed
    return payload


def require_approved(payload: Payload, approved: str) -> None:
    """Raise ApprovalMismatch unless that hash is the approval of these bytes and of where they go."""
    if not hmac.compare_digest(approved.strip().lower().encode(), payload.approval.encode()):
        raise ApprovalMismatch(
            f"What was approved ({approved[:12]!r}) is not what would be sent now to {payload.destination}"
            f" ({payload.approval[:12]}...); nothing was sent: preview it again, or look at it with `cdcda payload`,"
            " and approve what is shown there."
        )
