"""How the page says that something could not be done: the error's one sentence, and nothing of the program's inside."""

import functools
import html
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from app.errors import SHOWN

P = ParamSpec("P")
T = TypeVar("T")

TITLE = "That did not work"


def toast(error: Exception) -> gr.Error:
    """The error as Gradio's passing note; its text is escaped because Gradio shows it as HTML."""
    return gr.Error(html.escape(str(error), quote=False), title=TITLE, print_exception=False)


def _shown_stream(handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    @functools.wraps(handler)
    def stream(*arguments: Any, **named: Any) -> Iterator[Any]:
        try:
            yield from handler(*arguments, **named)
        except SHOWN as error:
            raise toast(error) from None

    return stream


def shown(handler: Callable[P, T]) -> Callable[P, T]:
    """A handler whose AppError or StoreError becomes a note with that one sentence; anything else is a defect."""
    if inspect.isgeneratorfunction(handler):
        return _shown_stream(handler)  # type: ignore[return-value]

    @functools.wraps(handler)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return handler(*arguments, **named)
        except SHOWN as error:
            raise toast(error) from None

    return call


def answered(function: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """A server function of a list: an AppError or StoreError becomes `{"error": sentence}`, which the list shows."""

    @functools.wraps(function)
    def call(argument: Any) -> dict[str, Any]:
        try:
            return function(argument)
        except SHOWN as error:
            return {"error": str(error)}

    return call
