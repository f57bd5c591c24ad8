"""What crosses between the device and the augmentation service: version 1 of the protocol.

A request is one JSON body; the answer to it is a stream of JSON lines. Unknown fields are refused on both sides.
Nothing here knows a database id: a record travels under a reference that means nothing to the service.
"""

from typing import Annotated, Literal, Self

import pydantic

MAX_RECORDS = 2_000
MAX_TEXT = 20_000
"""Longest input or output of which pairs are made, in characters; a record with a longer one fails, and it alone."""
MAX_BODY = 64 * 1024 * 1024
"""Largest request body, in bytes."""

MAX_BASES = 500
"""Task bases that a service offers."""

PromptForm = Literal["auto", "paper", "rewrite", "sentences"]
"""How the model is asked; "auto" lets the service choose the form that suits its model."""
AnswerKind = Literal["text", "label", "rating"]
FailureReason = Literal["empty", "too long", "unfinished thinking", "unusable answer", "time limit", "model error"]


def _mended(value: object) -> object:
    """A text without halves of surrogate pairs, which JSON can hold and no encoding can: other records came along."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


SharedText = Annotated[str, pydantic.BeforeValidator(_mended)]
"""Of any length: what is wrong with a record is told in the stream, and the other records are served."""


class Schema(pydantic.BaseModel):
    """A message: immutable, unknown fields refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SharedRecord(Schema):
    """One record that the person chose to share."""

    reference: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{16}$")]
    input: SharedText
    output: SharedText


class Thresholds(Schema):
    """What a pair must reach to be kept; the source's e_scf, e_tdf, e_min and e_max."""

    entailment: Annotated[float, pydantic.Field(ge=0.0, le=1.0)]
    """Least P(x entails x_syn) and least P(x_syn entails x)."""
    rouge_l: Annotated[float, pydantic.Field(ge=0.0, le=1.0)]
    """Greatest ROUGE-L of x and x_syn."""
    shortest: Annotated[float, pydantic.Field(ge=0.0, allow_inf_nan=False)]
    """Least len(x_syn) / len(x)."""
    longest: Annotated[float, pydantic.Field(ge=0.0, allow_inf_nan=False)]
    """Greatest len(x_syn) / len(x)."""


class AugmentRequest(Schema):
    """Asks for k synthetic pairs for each record."""

    protocol: Literal["1"] = "1"
    records: Annotated[tuple[SharedRecord, ...], pydantic.Field(min_length=1, max_length=MAX_RECORDS)]
    answer: AnswerKind = "text"
    """Label and rating answers are drawn from those of the shared records."""
    k: Annotated[int, pydantic.Field(ge=1, le=20)] = 5
    prompt: PromptForm = "auto"
    temperature: Annotated[float, pydantic.Field(ge=0.0, le=2.0)] = 0.7
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**31)] = 0
    thresholds: Thresholds | None = None
    """What the client will keep: the service draws again, a bounded number of times, what would not pass."""
    only_kept: bool = False
    """Send the pairs that pass the thresholds alone, as the source does; needs thresholds."""

    @pydantic.model_validator(mode="after")
    def _only_kept_needs_thresholds(self) -> Self:
        if self.only_kept and self.thresholds is None:
            raise ValueError("only_kept needs thresholds")
        return self


class PairScores(Schema):
    """The four scores of a pair, x being the record's input."""

    entails: Annotated[float, pydantic.Field(ge=0.0, le=1.0)]
    """P(x entails x_syn)."""
    entailed: Annotated[float, pydantic.Field(ge=0.0, le=1.0)]
    """P(x_syn entails x)."""
    rouge_l: Annotated[float, pydantic.Field(ge=0.0, le=1.0)]
    """ROUGE-L F1 of x and x_syn."""
    length_ratio: Annotated[float, pydantic.Field(ge=0.0, allow_inf_nan=False)]
    """len(x_syn) / len(x) in characters."""


class PairLine(Schema):
    """A synthetic pair, as soon as it is scored."""

    type: Literal["pair"] = "pair"
    reference: str
    number: Annotated[int, pydantic.Field(ge=1, le=20)]
    """j, 1 to k."""
    input: Annotated[str, pydantic.Field(min_length=1, max_length=MAX_TEXT)]
    output: Annotated[str, pydantic.Field(min_length=1, max_length=MAX_TEXT)]
    model: Annotated[str, pydantic.Field(max_length=200)]
    prompt: PromptForm
    """The form that was used; never "auto"."""
    seed: int
    scores: PairScores


class FailureLine(Schema):
    """A sample that came to nothing, or with number 0 a record that did."""

    type: Literal["failure"] = "failure"
    reference: str
    number: Annotated[int, pydantic.Field(ge=0, le=20)]
    reason: FailureReason


class RecordLine(Schema):
    """Ends a record: all its pairs and failures have been sent; a client need not ask for it again."""

    type: Literal["record"] = "record"
    reference: str


class SummaryLine(Schema):
    """Ends the stream."""

    type: Literal["summary"] = "summary"
    records: int
    pairs: int
    failures: int
    generated_tokens: int
    seconds: float


Line = Annotated[PairLine | FailureLine | RecordLine | SummaryLine, pydantic.Field(discriminator="type")]
LINE: pydantic.TypeAdapter[PairLine | FailureLine | RecordLine | SummaryLine] = pydantic.TypeAdapter(Line)


class ModelDescription(Schema):
    """A model that writes pairs."""

    name: str
    embedded: bool
    """The small model that comes with the install; it writes weak pairs."""
    prompt: PromptForm
    """What "auto" means for this model."""


class Limits(Schema):
    """What this service takes on; more than a rate allows is answered with 429, more than its queue holds with 503."""

    max_body: int = MAX_BODY
    """Bytes of a request."""
    waiting: int
    """Requests that may be there beside those in progress."""
    at_once: int
    """Samples that the models write at the same time; 1: a record at a time."""
    requests_per_minute: int
    """Of one address; 0: as many as come."""
    records_per_minute: int
    """The same, for records."""
    record_seconds: float
    """What a record's samples may take."""
    request_seconds: float
    """What a request may take; its stream then ends without a summary."""


class Capabilities(Schema):
    """What this service can do."""

    protocol: Literal["1"] = "1"
    models: Annotated[tuple[ModelDescription, ...], pydantic.Field(min_length=1)]
    """Sample j of a record is written by model j, in this order and again from the first."""
    scorer: str
    """Name of the NLI model."""
    passes_on_to: Annotated[str, pydantic.Field(max_length=300)] | None = None
    """The server that writes the pairs, host and port, where that is another one; None: records go no further."""
    max_records: int = MAX_RECORDS
    max_text: int = MAX_TEXT
    """Characters of an input or output; a record with more fails as "too long"."""
    limits: Limits | None = None
    bases: Annotated[tuple[str, ...], pydantic.Field(max_length=MAX_BASES)] = ()
    """Names of the task bases under /v1/bases."""


class Health(Schema):
    """The service answers."""

    status: Literal["ready", "loading"]


class Problem(Schema):
    """An error body; it never repeats what was sent."""

    error: str
    """One sentence."""


SKIP_HEADER = "X-Cdcda-Skip"
"""References that need not be done again, separated by commas: how a client resumes with the very bytes approved."""
