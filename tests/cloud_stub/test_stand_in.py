"""The stand-in behaves as it says, as seen by the `openai` client, which nobody here wrote."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests

from tests.cloud_stub.stand_in import MISBEHAVIOURS, Running, example_of, pair_for, standing_in

PROMPT = "Say it again.\n\nInput: {}\nResponse: a title\n\nIn other words, please."


@pytest.fixture(scope="module")
def upstream() -> Iterator[Running]:
    with standing_in() as running:
        yield running


def body(text: str) -> dict[str, Any]:
    return {"model": "stand-in", "messages": [{"role": "user", "content": PROMPT.format(text)}]}


def ask(url: str, text: str, seconds: float = 5.0, **options: Any) -> Any:
    with openai.OpenAI(api_key="none", base_url=url, max_retries=0, timeout=seconds) as client:
        return client.chat.completions.create(**body(text), **options)


def test_it_answers_with_the_words_of_the_example_and_its_seed(upstream: Running) -> None:
    answer = ask(upstream.url, "three small words", seed=7)
    content = answer.choices[0].message.content
    assert content is not None
    first, second = content.split("\n")
    assert sorted(first.split()) == sorted(["Input:", "three", "small", "words", "7"])
    assert second == "Response: a title"
    assert ask(upstream.url, "three small words", seed=7).choices[0].message.content == content
    assert len(ask(upstream.url, "three small words", n=3).choices) == 3


def test_the_papers_prompt_is_understood_too() -> None:
    prompt = "Generate something similar. Input: a, b and c, Response: d."
    assert example_of(prompt) == ("a, b and c", "d")
    assert sorted(pair_for(prompt, 1).split()) == sorted(["Input:", "a,", "b", "and", "c", "1", "Response:", "d"])


def test_its_models_are_listed(upstream: Running) -> None:
    with openai.OpenAI(api_key="none", base_url=upstream.url) as client:
        assert [model.id for model in client.models.list()] == ["stand-in"]


@pytest.mark.parametrize("order", MISBEHAVIOURS)
def test_it_misbehaves_as_ordered_and_then_no_more(upstream: Running, order: str) -> None:
    text = f"a text [[stand-in: {order} x1]]"
    if order == "endless":
        # Something comes all the time, so the client's own limit never counts.
        with requests.post(f"{upstream.url}/chat/completions", json=body(text), stream=True, timeout=5) as answer:
            assert [next(answer.iter_content(1)) for _ in range(3)] == [b" "] * 3
    elif order in ("empty", "none", "rubbish", "html"):
        said = ask(upstream.url, text)
        choices = [] if isinstance(said, str) else said.choices
        assert not any("Input:" in (choice.message.content or "") for choice in choices)
    else:
        with pytest.raises(openai.OpenAIError):
            ask(upstream.url, text, seconds=0.3)
    assert "Input:" in (ask(upstream.url, text).choices[0].message.content or "")


def test_a_429_says_when_to_come_back(upstream: Running) -> None:
    with pytest.raises(openai.RateLimitError) as refused:
        ask(upstream.url, "a text [[stand-in: 429]]")
    assert refused.value.response.headers["retry-after"] == "1"


def test_a_client_that_leaves_is_counted_and_nobody_writes_for_it() -> None:
    with standing_in(first_token_seconds=30) as upstream:
        with pytest.raises(openai.APITimeoutError):
            ask(upstream.url, "a text", seconds=0.3)
        for _ in range(100):
            if upstream.counts.aborted:
                break
            time.sleep(0.02)
        assert (upstream.counts.aborted, upstream.counts.running, upstream.counts.answered) == (1, 0, 0)


def test_it_runs_as_a_process_of_its_own_and_tells_its_counts() -> None:
    command = [sys.executable, "-m", "tests.cloud_stub.stand_in", "--seconds-per-token", "0.001"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        ask(url, "a text")
        counts = json.loads(requests.get(url.removesuffix("/v1") + "/counts", timeout=5).text)
        process.communicate("", timeout=10)
    assert (counts["requests"], counts["answered"], process.returncode) == (1, 1, 0)
