"""The service's OpenAPI description: FastAPI's own, and what the lines of a stream are, which FastAPI cannot see."""

from typing import Any

import fastapi

from cloud_stub.schemas import LINE

LINES = "application/x-ndjson"
"""JSON values, each on a line of its own."""
STREAM = "/v1/augment"
_PLACE = "#/components/schemas/"


def _with_lines(page: dict[str, Any]) -> dict[str, Any]:
    """The page with the kinds of lines among its schemas, and said to be what the stream holds."""
    line = LINE.json_schema(mode="serialization", ref_template=f"{_PLACE}{{model}}")
    schemas = page["components"]["schemas"]
    schemas.update(line.pop("$defs"))
    schemas["Line"] = {"description": "A line of the stream.", **line}
    answer = page["paths"][STREAM]["post"]["responses"]["200"]
    answer["description"] = "A stream of lines, the last of them a summary; without it the stream broke off."
    answer["content"] = {LINES: {"schema": {"$ref": f"{_PLACE}Line"}}}
    return page


def describe(app: fastapi.FastAPI) -> None:
    """Have the app's description tell of the stream, too."""
    own = app.openapi

    def described() -> dict[str, Any]:
        # FastAPI makes it once and keeps it.
        return own() if app.openapi_schema else _with_lines(own())

    app.openapi = described  # type: ignore[method-assign]
