"""An OpenAI-compatible server as the language model: vLLM, Ollama, llama.cpp's own server, a vendor.

Samples are asked for one by one, as many at the same time as the bound allows; the server reads their common prompt
once if it can. Retries, their jitter and Retry-After are the `openai` package's. What an upstream says of an error is
never repeated: it may hold what a person wrote.
"""

import asyncio
import dataclasses
import ipaddress
import json
import logging
import math
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloud_stub.answers import behind_thoughts, parse
from cloud_stub.errors import UpstreamFailed, UpstreamNotUsable
from cloud_stub.prompts import Prompt
from cloud_stub.writing import Sample, SampleFault

RETRIES = 3
"""How often a request that failed is sent again."""
ANSWER_SECONDS = 180.0
"""What a sample may take, its retries included."""
CONNECT_SECONDS = 10.0
MAX_ANSWER = 1024 * 1024
"""Bytes; a longer answer is given up."""
POLL_SECONDS = 0.1
"""How often it is asked whether anybody still wants the samples."""
SILENCE_SECONDS = 30.0
"""The same complaint is not reported again for so long."""
LONGEST = 2.5
"""A part that becomes so many times as long as the example's is given up: no length filter would keep it."""
BYTES_PER_TOKEN = 3
SLACK = 64
"""Tokens on top, for marks and prefaces."""
THINKING_TOKENS = 4096
"""On top as well, for a model that thinks before it answers."""

LINES = '\n\nAnswer with two lines, the first beginning with "Input:" and the second with "Response:".'
"""Follows every prompt for a pair but the source's: the answer cannot be begun for an upstream model."""
ONE_OF = " The response is one of these: {answers}."

_RENAMED = {"max_tokens": "max_completion_tokens"}


def is_loopback(url: str) -> bool:
    """Whether an address is this computer's."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str) -> str:
    """The address without a slash at its end; raises UpstreamNotUsable where it is no http address."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise UpstreamNotUsable(
            f"An address like http://127.0.0.1:8000/v1 was expected, not {url}; correct --upstream."
        )
    return url.rstrip("/")


def _token_bound(prompt: Prompt) -> int:
    longest = max((prompt.output_like, *prompt.answers), key=len)
    return math.ceil(LONGEST * len(f"{prompt.input_like}{longest}".encode()) / BYTES_PER_TOKEN) + SLACK


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    turns = [
        {"role": role, "content": text}
        for turn in prompt.demonstrations
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    asked = prompt.text
    if prompt.bridge and prompt.form != "paper":
        asked += LINES + (ONE_OF.format(answers=", ".join(prompt.answers)) if prompt.answers else "")
    return [*turns, {"role": "user", "content": asked}]


def _failed(fault: SampleFault) -> Sample:
    return Sample("", "", 0, fault)


def _fault(text: str, thoughts: str, usage: Mapping[str, Any], has_room: bool) -> SampleFault:
    """Why an answer that reached its bound did so: OpenAI's servers count thoughts and do not tell them.

    Without room to think in, thoughts are to blame even where they ended.
    """
    if has_room and behind_thoughts(text):
        return "too long"
    counted = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    thought = thoughts or counted or "<think>" in text or "</think>" in text or not text.strip()
    return "unfinished thinking" if thought else "too long"


def _sample(answer: Mapping[str, Any], prompt: Prompt, has_room: bool) -> Sample:
    """What an answer holds; raises LookupError, TypeError or ValueError where it is not of the protocol."""
    choice = answer["choices"][0]
    message = choice["message"]
    text = message.get("content") or ""
    thoughts = message.get("reasoning_content") or message.get("reasoning") or ""
    if not isinstance(text, str) or not isinstance(thoughts, str):
        raise TypeError
    usage = answer.get("usage") or {}
    tokens = int(usage.get("completion_tokens") or len(thoughts + text) // 4)
    cut = choice.get("finish_reason") == "length"
    return Sample(*parse(text, prompt), tokens, _fault(text, thoughts, usage, has_room) if cut else None)


class Upstream:
    """A server that several models share, with the bound on what it is asked at the same time."""

    def __init__(
        self,
        url: str,
        key: str | None,
        at_once: int,
        report: Callable[[str], None],
        answer_seconds: float = ANSWER_SECONDS,
        retries: int = RETRIES,
    ) -> None:
        """Connects to nothing yet; raises UpstreamNotUsable for an address that is none."""
        self._url = check_url(url)
        self._key = key
        self._retries = retries
        self._answer_seconds = answer_seconds
        self._report = report
        self._complaints: dict[str, float] = {}
        self._refused: set[tuple[str, str]] = set()
        """Models, each with a parameter that it does not take."""
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True, name="upstream")
        self._thread.start()
        self._client, self._slots = asyncio.run_coroutine_threadsafe(self._connected(at_once), self.loop).result()

    async def _connected(self, at_once: int) -> tuple[Any, asyncio.Semaphore]:
        import openai

        # The environment can have these write whole requests to the log.
        for name in ("openai", "httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        http = openai.DefaultAsyncHttpxClient(
            # A redirect would take people's texts to another server, a proxy would see what goes to this computer.
            follow_redirects=False,
            trust_env=not is_loopback(self._url),
            timeout=openai.Timeout(self._answer_seconds, connect=CONNECT_SECONDS),
        )
        client = openai.AsyncOpenAI(
            api_key=self._key or "none", base_url=self._url, max_retries=self._retries, http_client=http
        )
        return client, asyncio.Semaphore(at_once)

    async def _disconnected(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.close()

    def close(self) -> None:
        """Drop the connections and end."""
        asyncio.run_coroutine_threadsafe(self._disconnected(), self.loop).result(CONNECT_SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CONNECT_SECONDS)
        self.loop.close()

    def check(self, names: Sequence[str]) -> None:
        """Ask for the list of models; raises UpstreamNotUsable where nothing answers there or the key is refused."""
        import openai

        try:
            listed = asyncio.run_coroutine_threadsafe(self._listed(), self.loop).result()
        except (openai.APIConnectionError, TimeoutError) as error:
            raise UpstreamNotUsable(
                f"The upstream server at {self._url} cannot be reached; check that it is running, and --upstream."
            ) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise UpstreamNotUsable(
                f"The upstream server at {self._url} refused the key; give the right one in the environment variable"
                " that --upstream-key-variable names."
            ) from error
        missing = [name for name in names if listed and name not in listed]
        if missing:
            self._report(f"the upstream server does not list {', '.join(missing)}; it lists {', '.join(listed[:5])}")

    async def _listed(self) -> list[str]:
        """Names of the models; none where the server has no such list."""
        import openai

        try:
            async with asyncio.timeout(2 * CONNECT_SECONDS):
                page = await self._client.models.list()
                return [str(model.id) for model in page.data]
        except (openai.APIConnectionError, openai.AuthenticationError, openai.PermissionDeniedError, TimeoutError):
            raise
        except (openai.OpenAIError, AttributeError, TypeError, ValueError):
            return []

    def complain(self, what: str) -> None:
        """Report something to whoever runs the service, but not again and again."""
        now = time.monotonic()
        if now - self._complaints.get(what, -math.inf) > SILENCE_SECONDS:
            self._complaints[what] = now
            self._report(what)

    def _parameters(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What is asked, without what the model does not take."""
        refused = {parameter for model, parameter in self._refused if model == wanted["model"]}
        named = {_RENAMED.get(name, name) if name in refused else name: wanted[name] for name in wanted}
        return {name: value for name, value in named.items() if name not in refused}

    async def _read(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        create = self._client.chat.completions.with_streaming_response.create
        async with create(**parameters) as response:
            found = bytearray()
            async for block in response.iter_bytes():
                found += block
                if len(found) > MAX_ANSWER:
                    raise ValueError("too long")
        answer = json.loads(found)
        if not isinstance(answer, dict):
            raise TypeError
        return answer

    async def _asked(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer; again without each parameter that is refused by name, once more after a broken body."""
        import httpx2
        import openai

        while True:
            parameters = self._parameters(wanted)
            try:
                return await self._read(parameters)
            except openai.BadRequestError as error:
                # What this request carried counts: others were on their way when the first was refused.
                if error.param not in ("max_tokens", "seed", "temperature") or error.param not in parameters:
                    raise
                self._refused.add((wanted["model"], error.param))
            except httpx2.TransportError:
                # The package retries until the answer begins, not when its body breaks off.
                return await self._read(parameters)

    async def sample(self, wanted: Mapping[str, Any], prompt: Prompt, has_room: bool) -> Sample:
        """One sample, in its turn; `has_room` says whether the model was given tokens to think with."""
        import httpx2
        import openai

        async with self._slots:
            try:
                async with asyncio.timeout(self._answer_seconds):
                    return _sample(await self._asked(wanted), prompt, has_room)
            except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException):
                self.complain(f"the upstream server did not answer within {self._answer_seconds:g} seconds")
                return _failed("stopped")
            except openai.APIStatusError as error:
                if error.status_code == 413 or error.code == "context_length_exceeded":
                    return _failed("too long")
                self.complain(f"the upstream server refused a sample with status {error.status_code}")
            except (openai.OpenAIError, httpx2.HTTPError) as error:
                self.complain(f"the connection to the upstream server failed ({type(error).__name__})")
            except (LookupError, TypeError, ValueError, AttributeError):
                self.complain("the upstream server's answer is not of OpenAI's protocol")
        return _failed("model error")


class UpstreamModel:
    """See cloud_stub.writing.LanguageModel: a model of an upstream server; it takes many calls at a time."""

    def __init__(self, upstream: Upstream, name: str, thinking_tokens: int | None = None) -> None:
        """`thinking_tokens` is what it may think with; None: THINKING_TOKENS, once it is seen to think."""
        self._upstream = upstream
        self._name = name
        self._thinking_tokens = thinking_tokens or 0

    async def _asked(self, prompt: Prompt, seed: int, temperature: float) -> Sample:
        wanted = {
            "model": self._name,
            "messages": _messages(prompt),
            "max_tokens": _token_bound(prompt) + self._thinking_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        return await self._upstream.sample(wanted, prompt, self._thinking_tokens > 0)

    async def _sample(self, prompt: Prompt, seed: int, temperature: float) -> Sample:
        """A sample; once more where the model had no room for the thoughts that it turns out to have."""
        room = self._thinking_tokens
        sample = await self._asked(prompt, seed, temperature)
        if sample.fault != "unfinished thinking":
            return sample
        if room:
            self._upstream.complain(
                f"the model {self._name} has not ended its thinking within {room:,} tokens; give it more with"
                " --thinking-tokens, or have the upstream server turn its thinking off"
            )
            return sample
        if not self._thinking_tokens:
            self._thinking_tokens = THINKING_TOKENS
            self._upstream.complain(
                f"the model {self._name} thinks before it answers; from now on it may take {THINKING_TOKENS:,} tokens"
                " more for that (--thinking-tokens changes this), which the upstream server may charge for"
            )
        again = await self._asked(prompt, seed, temperature)
        return dataclasses.replace(again, tokens=sample.tokens + again.tokens)

    async def write(
        self, prompt: Prompt, seeds: Sequence[int], temperature: float, should_stop: Callable[[], bool]
    ) -> list[Sample]:
        """See LanguageModel; raises UpstreamFailed where the server failed on all of them."""
        calls = [
            asyncio.wrap_future(
                asyncio.run_coroutine_threadsafe(self._sample(prompt, seed, temperature), self._upstream.loop)
            )
            for seed in seeds
        ]
        waiting = set(calls)
        try:
            while waiting and not should_stop():
                _, waiting = await asyncio.wait(waiting, timeout=POLL_SECONDS)
        finally:
            for call in waiting:
                # Closes the connection, which is how a server learns that it need not go on.
                call.cancel()
        samples = [_failed("stopped") if call.cancelled() else call.result() for call in calls]
        if samples and all(sample.fault == "model error" for sample in samples):
            raise UpstreamFailed("The upstream server should write samples and failed on all; see what it reports.")
        return samples
