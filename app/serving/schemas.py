"""The part of OpenAI's chat protocol that is understood: https://platform.openai.com/docs/api-reference/chat.

What would change an answer and is not done here is refused rather than passed over; what changes nothing is ignored.
"""

from collections.abc import Sequence
from typing import Any, Literal

import pydantic

from app.device.rendering import Message

Role = Literal["system", "user", "assistant"]


class TextPart(pydantic.BaseModel):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class ChatMessage(pydantic.BaseModel):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def as_message(self) -> Message:
        """The turn as the renderer takes it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        role: Role = "system" if self.role == "developer" else self.role
        return Message(role, text)


class StreamOptions(pydantic.BaseModel):
    """What a stream says beside the answer."""

    include_usage: bool = False


class ChatRequest(pydantic.BaseModel):
    """The body of a request for an answer."""

    model: str
    messages: list[ChatMessage] = pydantic.Field(min_length=1)
    temperature: float | None = pydantic.Field(None, ge=0, le=2)
    """None: 0, the most probable answer."""
    top_p: float | None = pydantic.Field(None, gt=0, le=1)
    max_tokens: int | None = pydantic.Field(None, ge=1)
    max_completion_tokens: int | None = pydantic.Field(None, ge=1)
    """The newer name of max_tokens."""
    seed: int | None = pydantic.Field(None, ge=-(2**63), le=2**64)
    stop: str | list[str] | None = pydantic.Field(None, max_length=16_384)
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def most_tokens(self) -> int | None:
        """Of the answer; None: as many as there is room for."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> Sequence[str]:
        """Texts before which the answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @pydantic.model_validator(mode="before")
    @classmethod
    def refuse_what_is_not_done(cls, body: Any) -> Any:
        """Raise for fields that ask for something else than a plain answer."""
        if isinstance(body, dict):
            for name in ("tools", "functions", "logprobs", "frequency_penalty", "presence_penalty", "logit_bias"):
                if body.get(name):
                    raise ValueError(f"{name} is not understood here; leave it out")
            if body.get("n") not in (None, 1):
                raise ValueError("n is at most 1 here; ask several times")
            if (body.get("response_format") or {"type": "text"}).get("type") != "text":
                raise ValueError("response_format is text alone here; leave it out")
        return body
