"""The tasks a person writes for: what is asked of the model, and how an answer is judged.

The prompts of the LaMP tasks are the benchmark's own (Salemi et al. 2024, "LaMP: When Large Language Models
Meet Personalization", appendix). A record's input is what stands at `{input}`.
"""

import dataclasses
import math
import re
from typing import Literal

from app.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Task:
    """A prompt template and what kind of answer it asks for."""

    name: str
    title: str
    """For people."""
    template: str
    """Prompt with one `{input}`."""
    answer: Literal["text", "label", "rating"] = "text"
    metric: Literal["rouge", "accuracy", "mae"] = "rouge"
    lamp: str | None = None
    """Name of the same task in LaMP."""
    input_columns: tuple[str, ...] = ()
    """Column names that are probably the input, most probable first."""
    output_columns: tuple[str, ...] = ()
    """Column names that are probably the output, most probable first."""
    labels: tuple[str, ...] = ()
    """The answers that there are, where the person named them."""

    def prompt(self, text: str) -> str:
        """The template with the input in its place."""
        return self.template.replace("{input}", text)


TASKS: tuple[Task, ...] = (
    Task(
        "chat",
        "Chat",
        "{input}",
        input_columns=("prompt", "question", "instruction", "input"),
        output_columns=("answer", "response", "reply", "output"),
    ),
    Task(
        "title",
        "Title",
        "Generate a title for the following abstract of a paper: {input}",
        lamp="LaMP_5",
        input_columns=("abstract", "summary", "body", "text", "content"),
        output_columns=("title", "name"),
    ),
    Task(
        "headline",
        "Headline",
        "Generate a headline for the following article: {input}",
        lamp="LaMP_4",
        input_columns=("article", "text", "body", "content"),
        output_columns=("headline", "title"),
    ),
    Task(
        "paraphrase",
        "Paraphrase",
        "Paraphrase the following tweet without any explanation before or after it: {input}",
        lamp="LaMP_7",
        input_columns=("neutral", "plain", "draft", "input"),
        output_columns=("tweet", "post", "text", "output"),
    ),
    Task(
        "tag",
        "Tag",
        "Which tag does this relate to? Just answer with the tag name without further explanation."
        " description: {input}",
        answer="label",
        metric="accuracy",
        lamp="LaMP_2",
        input_columns=("description", "quote", "text"),
        output_columns=("tag", "label", "category", "fresh"),
    ),
    Task(
        "rating",
        "Rating",
        "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2,"
        " 3, 4, or 5 without further explanation. review: {input}",
        answer="rating",
        metric="mae",
        lamp="LaMP_3",
        input_columns=("review", "text", "comment"),
        output_columns=("score", "rating", "stars"),
    ),
    Task(
        "citation",
        "Citation",
        "{input}",
        answer="label",
        metric="accuracy",
        lamp="LaMP_1",
        input_columns=("question", "abstract"),
        output_columns=("reference", "answer", "title"),
    ),
)

_NUMBER = re.compile(r"(?:(?<!\w)[-+])?(?:([1-9]\d{0,2}(?:,\d{3})+(?!\d)(?:\.\d+)?)|\d+(?:[.,]\d+)?)")
"""With commas between thousands (group 1), else with a point or a comma before the decimals."""

LAMP_WITHOUT_DATA = "LaMP_6"
"""LaMP's e-mail subjects need the Avocado corpus, which is not public."""


def find_task(name: str) -> Task:
    """The task of that name or LaMP name; raises BadInput naming those there are."""
    for task in TASKS:
        if name in (task.name, task.lamp):
            return task
    raise BadInput(
        f"There is no task {name!r}; the tasks are {', '.join(task.name for task in TASKS)}"
        f" and {', '.join(sorted(task.lamp for task in TASKS if task.lamp))}."
    )


def read_number(text: str) -> float | None:
    """The first number in what a person writes: 4 of "4/5", 4.5 of "4,5 stars", 1299 of "1,299"; None without any."""
    found = _NUMBER.search(text)
    if found is None:
        return None
    value = float(found[0].replace(",", "" if found[1] else "."))
    return value if math.isfinite(value) else None
