"""What a client is told that could not be served: one sentence, in the shape of OpenAI's errors. Knows no route."""

import fastapi.exceptions
from fastapi.responses import JSONResponse

from app.errors import AppError, BadInput
from personal_store.errors import StoreError

_SENTENCES = {
    401: "The token that `cdcda serve` printed was expected and another or none came; send it as the API key.",
    404: "There is nothing at this address; the models are at /v1/models and answer at /v1/chat/completions.",
    405: "This address does not take that method; GET /v1/models and POST /v1/chat/completions.",
}


def refusal(
    status: int, sentence: str | None = None, code: str | None = None, param: str | None = None
) -> JSONResponse:
    """An error as OpenAI's clients read it; by default with the sentence of the status."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    message = sentence or _SENTENCES.get(status, f"The request was refused with status {status}.")
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": error_body(message, kind, code, param)}, status, headers)


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, str | None]:
    """The inside of an error."""
    return {"message": message, "type": kind, "param": param, "code": code}


def of_app_error(error: AppError | StoreError) -> JSONResponse:
    """What the program itself refuses: the client's fault where the request was, else a conflict with what is here."""
    if isinstance(error, BadInput):
        return refusal(400, str(error), "context_length_exceeded" if " tokens " in str(error) else None)
    return refusal(409, str(error), type(error).__name__)


def of_invalid(error: fastapi.exceptions.RequestValidationError) -> JSONResponse:
    """Where the body is wrong and what was expected there; never what came."""
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"] if part != "body")
    if fault["type"] == "json_invalid":
        return refusal(400, "The body should be JSON and is not; send what OpenAI's clients send.")
    words = fault["msg"].removeprefix("Value error, ")
    sentence = f"{place} is not as the chat protocol has it ({words}); see docs/serve.md." if place else f"{words}."
    return refusal(400, sentence[0].upper() + sentence[1:] if not place else sentence, None, place or None)
