"""What crosses between the device and the service for task bases (M_base): a part of version 1 of the protocol."""

from typing import Annotated, Literal

import pydantic

from cloud_stub.schemas import MAX_BASES, Schema

MAX_BASE = 2 * 1024**3
"""Largest file of a task base, in bytes."""


class BaseFile(Schema):
    """A file of a task base."""

    name: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]
    bytes: Annotated[int, pydantic.Field(ge=0, le=MAX_BASE)]
    sha256: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{64}$")]


class BaseScore(Schema):
    """What a device model reached on people that neither it nor the base learned from."""

    untrained: float
    """As the model came."""
    trained: float
    """With the base."""


class BaseDescription(Schema):
    """A task base (M_base): what a device model learned of a task from other people's public data, as a LoRA."""

    name: Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    title: Annotated[str, pydantic.Field(max_length=200)]
    task: Annotated[str, pydantic.Field(max_length=40)]
    model: Annotated[str, pydantic.Field(max_length=200)]
    """Device model that it is for."""
    model_sha256: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{64}$")]
    """Of that model's file; of its weights and configuration where it is a folder."""
    data: Annotated[str, pydantic.Field(max_length=2000)]
    licence: Annotated[str, pydantic.Field(max_length=2000)]
    """Of the data."""
    attribution: Annotated[str, pydantic.Field(max_length=2000)]
    users: int
    examples: int
    questions: int = 0
    """Asked for the scores; 0: not scored."""
    scores: Annotated[dict[str, BaseScore], pydantic.Field(max_length=10)] = pydantic.Field(default_factory=dict)
    """By metric: rouge_1, rouge_l, accuracy, mae."""
    bytes: int
    """Of all files together."""
    files: Annotated[tuple[BaseFile, ...], pydantic.Field(min_length=1, max_length=20)]
    """manifest.json, whose presence means that a base is whole, is the last."""


class Bases(Schema):
    """The task bases that this service offers."""

    protocol: Literal["1"] = "1"
    bases: Annotated[tuple[BaseDescription, ...], pydantic.Field(max_length=MAX_BASES)]
