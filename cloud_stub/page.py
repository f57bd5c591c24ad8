"""The OpenAPI description as a page to read: no script, and nothing from another host. Knows no route."""

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
}
"""Has the browser load nothing, whatever the page holds."""

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #8884;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}code{font-size:.95em}h2{margin-top:2.5rem}:root{color-scheme:light dark}"
)
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "minLength": "characters, at least",
    "maxLength": "characters, at most",
    "minItems": "items, at least",
    "maxItems": "items, at most",
    "pattern": "like",
}

Part = Mapping[str, Any]


def _code(text: object) -> str:
    return f"<code>{html.escape(str(text))}</code>"


def _kind(part: Part) -> str:
    """What a value is, as a short phrase with links to the schemas."""
    if "$ref" in part:
        name = html.escape(part["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if choices := part.get("anyOf") or part.get("oneOf"):
        return " or ".join(map(_kind, choices))
    if "const" in part or "enum" in part:
        return " | ".join(_code(json.dumps(value)) for value in part.get("enum", [part.get("const")]))
    if part.get("type") == "array":
        return f"list of {_kind(part['items'])}" if "items" in part else "list"
    return html.escape(str(part.get("type", "anything")))


def _remarks(part: Part) -> str:
    said = [f"{words} {_code(part[name])}" for name, words in _BOUNDS.items() if name in part]
    if "default" in part:
        said.append(f"default {_code(json.dumps(part['default']))}")
    description = html.escape(part.get("description", ""))
    return description + ("<br>" if description and said else "") + "; ".join(said)


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{one}" for one in heads)
    return f"<table><tr>{head}" + "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows) + "</table>"


def _fields(schema: Part) -> str:
    needed = schema.get("required", ())
    return _table(
        ("field", "what", "", "meaning and bounds"),
        (
            (_code(name), _kind(part), "required" if name in needed else "", _remarks(part))
            for name, part in schema.get("properties", {}).items()
        ),
    )


def _body(operation: Part) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "".join(f"<p>Body, {_code(kind)}: {_kind(one['schema'])}" for kind, one in content.items())


def _parameters(operation: Part) -> str:
    given = operation.get("parameters", ())
    rows = ((_code(one["name"]), html.escape(one["in"]), html.escape(one.get("description", ""))) for one in given)
    return _table(("parameter", "where", "what"), rows) if given else ""


def _answers(operation: Part) -> Iterator[tuple[str, ...]]:
    for status, answer in operation.get("responses", {}).items():
        kinds = (
            f"{_code(kind)} {_kind(one['schema']) if one.get('schema') else ''}"
            for kind, one in answer.get("content", {}).items()
        )
        yield html.escape(status), html.escape(answer.get("description", "")), ", ".join(kinds)


def _operation(method: str, path: str, operation: Part) -> str:
    lock = "Needs the bearer token." if operation.get("security") else "Needs no token."
    return (
        f"<h2>{_code(f'{method.upper()} {path}')}</h2><p>{html.escape(operation.get('description', ''))} {lock}"
        + _body(operation)
        + _parameters(operation)
        + _table(("answer", "meaning", "body"), _answers(operation))
    )


def _schema(name: str, schema: Part) -> str:
    shown = html.escape(name)
    what = _fields(schema) if "properties" in schema else f"<p>{_kind(schema)}"
    return f'<h2 id="{shown}">{shown}</h2><p>{html.escape(schema.get("description", ""))}{what}'


def render_page(description: Part) -> str:
    """An OpenAPI description as HTML: its operations, then its schemas."""
    title = html.escape(description["info"]["title"])
    operations = [
        _operation(method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [_schema(name, schema) for name, schema in description.get("components", {}).get("schemas", {}).items()]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Version {html.escape(description['info']['version'])} of the protocol;"
        ' the same for programs: <a href="/openapi.json">/openapi.json</a>.'
        f"{''.join(operations)}<h1>Schemas</h1>{''.join(schemas)}</html>\n"
    )
