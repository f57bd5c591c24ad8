"""Small parts that several tabs use."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.ui import strings

QUIET: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
"""For handlers that answer at once: nothing is dimmed, and of quick changes the last one counts."""

UNCHECKED: dict[str, Any] = {"preprocess": False}
"""For handlers that take a choice: a window that did not draw the choices anew would be refused by Gradio for what came
since the start, a task of the person's own for example. What is chosen goes to the pipeline as it came, and that says
in a sentence what it does not know."""


WITHOUT_ITEMS = "(...given) => [...given.slice(0, -1), {newest: given.at(-1)?.newest, page: given.at(-1)?.page}]"
"""For handlers that are told last what a list shows: the page sends the list's own number and, of pairs, the newest
one's id, not what stands in it."""


def lead(text: str) -> gr.Markdown:
    """The heading and the sentence that open a tab."""
    return gr.Markdown(text, elem_classes="lead")


def stop_and_resume() -> list[gr.Button]:
    """The two buttons of a job, hidden until `state.job_buttons` shows them."""
    with gr.Row():
        return [gr.Button(label, visible=False, min_width=100) for label in (strings.STOP, strings.RESUME)]


def drawn(
    view: str, value: Any = None, *, server_functions: Sequence[Callable[..., Any]] = (), elem_id: str | None = None
) -> gr.HTML:
    """A view of assets/page/page.js, drawn from a value.

    The template is constant, so Gradio puts no text of a record through its template engine, which would run it.
    """
    return gr.HTML(
        value={} if value is None else value,
        label=view,
        html_template="<div></div>",
        js_on_load=f"cdcda.{view}(element, props, server, watch, trigger);",
        apply_default_css=False,
        server_functions=list(server_functions) or None,
        elem_id=elem_id,
        elem_classes=["still", f"view-{view.lower()}"],
    )
