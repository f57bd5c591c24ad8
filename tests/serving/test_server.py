"""`cdcda serve` as the `openai` package sees it."""

import json
import re
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from app.device.catalogue import find_model
from app.device.engines import Sampling, open_engine
from app.device.rendering import Message, render_prompt
from app.device.tokenising import open_tokeniser
from app.pipeline import adapters
from tests.pipeline.support import personal_adapter
from tests.serving.conftest import TOKEN, Endpoint
from tests.tiny import CONTEXT, tiny_gguf

ROOT = Path(__file__).resolve().parents[2]
ASKED: list[Any] = [
    {"role": "system", "content": "Be brief, and say no more than what was asked of you."},
    {"role": "user", "content": [{"type": "text", "text": "What the weather "}, {"type": "text", "text": "brought."}]},
]
SAME = [
    Message("system", "Be brief, and say no more than what was asked of you."),
    Message("user", "What the weather brought."),
]
BASE, MINE = "tiny-llama-0", "mine-1"


def expected(endpoint: Endpoint, adapter: Path | None = None, tokens: int = 12) -> str:
    """What an engine of its own writes, which never saw another request."""
    model = find_model(str(endpoint.model), endpoint.model.parent)
    engine = open_engine(model, threads=1)
    ids = render_prompt(open_tokeniser(model), SAME)
    text = "".join(piece.text for piece in engine.stream(ids, adapter, Sampling(max_tokens=tokens)))
    engine.close()
    return text


def ask(endpoint: Endpoint, model: str = BASE, **named: Any) -> Any:
    return endpoint.client.chat.completions.create(
        model=model, messages=ASKED, **{"max_tokens": 12, "temperature": 0, **named}
    )


def text(endpoint: Endpoint, model: str = BASE, **named: Any) -> str:
    return str(ask(endpoint, model, **named).choices[0].message.content)


def test_base_and_adapters_are_models(endpoint: Endpoint) -> None:
    assert [model.id for model in endpoint.client.models.list()] == [BASE, MINE]
    found = endpoint.client.models.retrieve(MINE)
    assert (found.id, found.owned_by, found.created > 0) == (MINE, "cdcda", True)


def test_base_and_adapter_answer_as_in_a_program_of_their_own(endpoint: Endpoint) -> None:
    folder = endpoint.workspace.adapters / adapters.listing(endpoint.workspace)[0].folder
    for _ in range(2):
        assert text(endpoint, BASE) == expected(endpoint)
        assert text(endpoint, MINE) == expected(endpoint, folder)


def test_an_answer_says_what_it_took(endpoint: Endpoint) -> None:
    ask(endpoint)
    answer = ask(endpoint)
    choice, usage = answer.choices[0], answer.usage
    assert (answer.object, answer.model, choice.message.role) == ("chat.completion", BASE, "assistant")
    assert (choice.finish_reason, usage.completion_tokens) == ("length", 12)
    assert usage.total_tokens == usage.prompt_tokens + 12
    assert 0 < usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens


def test_a_stream_gives_the_same_answer_in_parts(endpoint: Endpoint) -> None:
    parts = list(ask(endpoint, MINE, stream=True, stream_options={"include_usage": True}))
    assert parts[0].choices[0].delta.role == "assistant"
    assert "".join(part.choices[0].delta.content or "" for part in parts[:-1]) == text(endpoint, MINE)
    assert len(parts) > 5
    assert [part.choices[0].finish_reason for part in parts[:-1]] == [None] * (len(parts) - 2) + ["length"]
    assert (parts[-1].choices, parts[-1].usage.completion_tokens) == ([], 12)
    assert len({part.id for part in parts}) == 1


def test_seed_temperature_and_stop_are_heeded(endpoint: Endpoint) -> None:
    drawn = [text(endpoint, temperature=1.5, top_p=1, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({text(endpoint, temperature=1.5, top_p=1) for _ in range(4)}) > 1
    whole = text(endpoint)
    stopped = ask(endpoint, stop=[whole[4:6], "never"])
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == (
        whole[: whole.index(whole[4:6])],
        "stop",
    )
    assert ask(endpoint, max_tokens=openai.NOT_GIVEN, max_completion_tokens=3).usage.completion_tokens == 3


def test_adapters_come_and_go_while_it_runs(endpoint: Endpoint) -> None:
    second = personal_adapter(endpoint.workspace, endpoint.model, "Mine 1", seed=3)
    other = personal_adapter(endpoint.workspace, tiny_gguf(endpoint.model.parent, seed=9), "For another model", seed=4)
    assert [one.name for one in endpoint.shelf.models()] == [BASE, MINE, f"{MINE}-{second.id}"]
    assert text(endpoint, f"{MINE}-{second.id}") != text(endpoint, MINE)
    adapters.rename(endpoint.workspace, second.id, "My letters")
    assert text(endpoint, "my-letters") != text(endpoint, MINE)
    for gone in (second, other):
        adapters.delete(endpoint.workspace, gone.id)
    with pytest.raises(openai.NotFoundError, match="There is no model 'my-letters'; there are tiny-llama-0, mine-1"):
        text(endpoint, "my-letters")


def test_a_client_that_leaves_ends_its_answer(endpoint: Endpoint) -> None:
    with ask(endpoint, stream=True, max_tokens=1_900) as stream:
        next(iter(stream))
    # The next one does not wait for the thousand tokens that nobody reads.
    assert endpoint.client.with_options(timeout=5).models.list().data
    assert text(endpoint) == expected(endpoint)


@pytest.mark.parametrize("key", ["", "another", TOKEN + "x"])
def test_without_the_token_nothing_is_answered(endpoint: Endpoint, key: str) -> None:
    for path in ("models", "chat/completions", "nothing"):
        answer = requests.get(f"{endpoint.url}/{path}", headers={"Authorization": f"Bearer {key}"}, timeout=10)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError, match="`cdcda serve` printed"):
        endpoint.client.with_options(api_key=key or "none").models.list()


def body(**changes: Any) -> dict[str, Any]:
    return {"model": BASE, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2, **changes}


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"model": "gpt-9"}, 404, "There is no model 'gpt-9'; there are tiny-llama-0"),
        ({"messages": []}, 400, "messages is not as the chat protocol has it"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "word " * CONTEXT}]}, 400, "shorten it"),
        ({"temperature": 3}, 400, "temperature"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"n": 2}, 400, "N is at most 1 here"),
        ({"tools": [{"type": "function"}]}, 400, "Tools is not understood here"),
        ({"response_format": {"type": "json_object"}}, 400, "Response_format is text alone"),
        ({"user": "me", "store": False, "metadata": {}, "frequency_penalty": 0}, 200, ""),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(
    endpoint: Endpoint, changes: dict[str, Any], status: int, says: str
) -> None:
    answer = requests.post(
        f"{endpoint.url}/chat/completions",
        json=body(**changes),
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=30,
    )
    assert answer.status_code == status, answer.text
    if status != 200:
        error = answer.json()["error"]
        assert says in error["message"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"].endswith(".")
        assert error["message"].count("\n") == 0


def test_other_addresses_methods_and_bodies_are_refused_in_the_same_shape(endpoint: Endpoint) -> None:
    known = {"Authorization": f"Bearer {TOKEN}"}
    answers = [
        requests.get(f"{endpoint.url}/nothing", headers=known, timeout=10),
        requests.get(f"{endpoint.url}/chat/completions", headers=known, timeout=10),
        requests.post(f"{endpoint.url}/chat/completions", data=b"{", headers=known, timeout=10),
    ]
    assert [answer.status_code for answer in answers] == [404, 405, 400]
    assert all(answer.json()["error"]["message"].endswith(".") for answer in answers)


def test_an_adapter_whose_files_were_changed_is_refused(endpoint: Endpoint) -> None:
    spoilt = personal_adapter(endpoint.workspace, endpoint.model, "Spoilt", seed=5)
    (endpoint.workspace.adapters / spoilt.folder / "adapter.gguf").write_bytes(b"other")
    with pytest.raises(openai.ConflictError, match="is not the one that training wrote"):
        text(endpoint, "spoilt")
    with pytest.raises(openai.ConflictError):
        ask(endpoint, "spoilt", stream=True)
    adapters.delete(endpoint.workspace, spoilt.id)
    assert text(endpoint) == expected(endpoint)


def blocks(kind: str) -> str:
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```", (ROOT / "docs" / "serve.md").read_text(), re.M | re.S)
    return str(block)


def test_the_python_of_the_document_runs_as_it_stands(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks("python").replace("http://127.0.0.1:7870/v1", endpoint.url).replace("the token", TOKEN)
    names: dict[str, Any] = {}
    exec(compile(code, "serve.md", "exec"), names)
    names["client"].close()
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first == str([BASE, MINE])
    assert rest


def test_the_editor_s_configuration_names_what_is_served(endpoint: Endpoint) -> None:
    import yaml  # type: ignore[import-untyped]

    (model,) = yaml.safe_load(blocks("yaml"))["models"]
    url = endpoint.url if model["apiBase"] == "http://127.0.0.1:7870/v1" else model["apiBase"]
    options = model["defaultCompletionOptions"]
    answer = requests.post(
        f"{url}/chat/completions",
        json=body(model=MINE, max_tokens=4, temperature=options["temperature"], stream=True),
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=30,
    )
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    assert all(json.loads(line)["object"] == "chat.completion.chunk" for line in lines[:-1])
    assert (model["provider"], options["contextLength"]) == ("openai", 2048)
