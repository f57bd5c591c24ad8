"""The nouns that the store keeps: frozen dataclasses, each with the ids that it came from.

Nothing here opens a file. Times are ISO 8601 strings in UTC; ids are SQLite row ids.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

SharedBy = Literal["hand", "slider"]
SharedAs = Literal["confirmed", "redacted"]
ChangeKind = Literal["added", "edited", "deleted"]
Answer = Literal["text", "label", "rating"]
Metric = Literal["rouge", "accuracy", "mae"]
Choice = Literal["before", "after", "same"]
DecisionKind = Literal["accepted", "edited", "rejected"]
JobKind = Literal["augment", "train", "curve"]
JobState = Literal["queued", "running", "stopping", "stopped", "failed", "interrupted", "done"]

ENDED: frozenset[JobState] = frozenset({"stopped", "failed", "interrupted", "done"})
"""States that a job does not leave by itself."""
RESUMABLE: tuple[JobState, ...] = ("stopped", "interrupted", "failed")
"""States from which a job can go on."""
ALIVE: tuple[JobState, ...] = ("queued", "running", "stopping")
"""States in which a job is at work, or will be."""


@dataclasses.dataclass(frozen=True)
class NewRecord:
    """One (input, output) pair of the person that is about to be stored."""

    task: str
    input: str
    output: str
    created_at: str | None
    """When the person wrote it, where the source says so: ISO 8601 in UTC, a date alone will do."""
    source: str
    """The file, or "written here"."""
    findings: tuple[str, ...] | None = None
    """What looks personal or secret in it; None: not looked at yet."""
    ends: tuple[int, int] | None = None
    """Hashes of its first and last words; None: not looked at yet."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One (input, output) pair of the person."""

    id: int
    task: str
    input: str
    output: str
    created_at: str | None
    imported_at: str
    source: str
    content_hash: str
    """SHA-256 (hex) of task, input and output; equal contents are stored once."""
    shared: bool
    shared_by: SharedBy | None
    """What set `shared` last; the slider never changes what a hand has set. None: never set."""
    findings: tuple[str, ...] | None = None
    """Kinds of what looks personal or secret in it; None: not looked at yet."""
    shared_as: SharedAs | None = None
    """For a record with findings: what the person agreed to."""


@dataclasses.dataclass(frozen=True)
class Boxes:
    """What the slider needs of all records."""

    ids: tuple[int, ...]
    """Oldest first."""
    shared: frozenset[int] = frozenset()
    by_hand: frozenset[int] = frozenset()
    """A hand has set their boxes, one way or the other."""
    marked: frozenset[int] = frozenset()
    """Something was found in them, or nobody has looked."""


@dataclasses.dataclass(frozen=True)
class Examined:
    """What was found in a record."""

    record_id: int
    content_hash: str
    """Of the texts that were looked at."""
    findings: tuple[str, ...]
    ends: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Change:
    """Something that was done to records and can be undone."""

    id: int
    kind: ChangeKind
    record_ids: tuple[int, ...]
    made_at: str


@dataclasses.dataclass(frozen=True)
class OwnTask:
    """A task that the person made."""

    name: str
    title: str
    template: str
    """Prompt with one `{input}`."""
    answer: Answer
    labels: tuple[str, ...]
    """The answers that there are, for labels; else none."""
    metric: Metric


@dataclasses.dataclass(frozen=True)
class Sent:
    """How often a record left this computer."""

    times: int
    last: str
    """When it left last."""


@dataclasses.dataclass(frozen=True)
class RecordQuery:
    """Which records, in which order, which page."""

    text: str = ""
    """Words to find in input or output; empty finds all."""
    task: str | None = None
    shared: bool | None = None
    order: Literal["newest", "oldest", "imported"] = "newest"
    """By when they were written (imported, where that is unknown), or in the order of the imported files."""
    offset: int = 0
    limit: int = 50
    sensitive: bool | None = None
    """With findings, or without."""


@dataclasses.dataclass(frozen=True)
class RecordPage:
    """One page of a query and how many records match in all."""

    records: tuple[Record, ...]
    total: int


@dataclasses.dataclass(frozen=True)
class AddOutcome:
    """What became of records that were added."""

    added: tuple[int, ...]
    duplicates: int


@dataclasses.dataclass(frozen=True)
class RecordCounts:
    """How many records there are."""

    total: int
    shared: int
    by_task: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """What went with a record that was forgotten."""

    record_id: int
    pairs: int
    """How many synthetic pairs were made from it."""
    adapters: tuple[int, ...]
    """Adapters that learned from it; they are stale now."""
    erased: bool
    """No trace of the text is left in the files. False: another process was reading; the last to close the store
    erases it."""
    answers: int = 0
    """How many answers went with it: asked for with its text, or holding it."""


@dataclasses.dataclass(frozen=True)
class Upload:
    """One line of the append-only ledger: what left the computer, or tried to."""

    id: int
    sent_at: str
    destination: str
    """Address the bytes went to."""
    record_ids: tuple[int, ...]
    bytes: int
    sha256: str
    """SHA-256 (hex) of the exact body."""
    outcome: str
    """"sent", or why it did not leave."""
    previous_hash: str
    line_hash: str
    """SHA-256 (hex) of this line and `previous_hash`: a missing or changed line shows."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """The four scores of a synthetic pair, x being the original input."""

    entails: float
    """P(x entails x_syn), 0 to 1."""
    entailed: float
    """P(x_syn entails x), 0 to 1."""
    rouge_l: float
    """ROUGE-L F1 of x and x_syn, 0 to 1."""
    length_ratio: float
    """len(x_syn) / len(x) in characters, 0 and up."""


@dataclasses.dataclass(frozen=True)
class NewPair:
    """A synthetic pair that arrived and is about to be stored."""

    record_id: int
    job_id: int
    number: int
    """j, 1 to k."""
    input: str
    output: str
    model: str
    seed: int
    scores: Scores


@dataclasses.dataclass(frozen=True)
class Pair:
    """One synthetic (input, output) that the service wrote from a record."""

    id: int
    record_id: int
    job_id: int
    number: int
    input: str
    output: str
    model: str
    seed: int
    scores: Scores
    created_at: str


@dataclasses.dataclass(frozen=True)
class Decision:
    """What the person said of a pair; it outranks the filters."""

    id: int
    pair_id: int
    kind: DecisionKind
    input: str | None
    """The person's own input for an edited pair, else None."""
    output: str | None
    """The person's own output for an edited pair, else None."""
    made_at: str


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """A snapshot of what an adapter learns from, and what is held out to judge it."""

    id: int
    record_ids: tuple[int, ...]
    pair_ids: tuple[int, ...]
    held_out_ids: tuple[int, ...]
    """Records, the newest ones, that are never trained on."""
    seed: int
    hash: str
    """SHA-256 (hex) of the texts in their order: the same hash rebuilds the same set."""
    created_at: str


@dataclasses.dataclass(frozen=True)
class Adapter:
    """A finished LoRA of the person."""

    id: int
    name: str
    folder: str
    """Folder name below the adapters folder."""
    base: str
    """Name of the base model."""
    training_set_id: int | None
    """None: it was imported, and what it learned from is not in this store."""
    job_id: int | None
    """None: it was imported."""
    manifest: Mapping[str, Any]
    active: bool
    """Switched on for writing; at most one is."""
    stale: bool
    """A record that it learned from was deleted."""
    created_at: str
    note: str = ""
    """What the person wrote down about it."""


@dataclasses.dataclass(frozen=True)
class NewGeneration:
    """An answer that was just written."""

    task: str
    prompt: str
    """What the person asked, before the task's template."""
    adapter_id: int | None
    settings: Mapping[str, Any]
    seed: int
    text: str
    tokens: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Generation:
    """An answer, and what it was written with."""

    id: int
    task: str
    prompt: str
    adapter_id: int | None
    settings: Mapping[str, Any]
    seed: int
    text: str
    tokens: int
    seconds: float
    created_at: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two generations that differ in the adapter alone, and the person's vote."""

    id: int
    before_id: int
    after_id: int
    vote: Choice | None
    created_at: str
    blind: bool = False
    """The person did not know which was which when they voted."""
    after_first: bool = False
    """The answer with the adapter stood first."""


@dataclasses.dataclass(frozen=True)
class Votes:
    """How an adapter's answers were judged beside those without it."""

    adapter_id: int
    blind: bool
    """Counted over comparisons whose sides had no names, or over the others."""
    before: int
    same: int
    after: int


@dataclasses.dataclass(frozen=True)
class Job:
    """A long piece of work that runs as a process of its own."""

    id: int
    kind: JobKind
    state: JobState
    settings: Mapping[str, Any]
    result: Mapping[str, Any] | None
    """What a done job made, as the command line prints it."""
    error: str | None
    """One sentence, for a failed job."""
    process_id: int | None
    heartbeat: float | None
    """Seconds since the epoch at the last sign of life."""
    created_at: str


@dataclasses.dataclass(frozen=True)
class JobEvent:
    """One thing that a job reported, in order."""

    id: int
    job_id: int
    kind: str
    data: Mapping[str, Any]
    at: float
    """Seconds since the epoch."""
