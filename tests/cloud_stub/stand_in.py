"""A hand-written upstream that speaks as OpenAI's servers do, with realistic delays, and misbehaves on order.

It answers `/v1/chat/completions`, `/v1/models`, and `/counts` with what it saw. Its pairs are made of the words of the
prompt's own example, so that an answer which reached another client shows. An example whose input holds
`[[stand-in: 500]]` gets that misbehaviour every time, `[[stand-in: 500 x2]]` the first two times.

python -m tests.cloud_stub.stand_in --slots 8 --seconds-per-token 0.01     prints its address, ends with its input
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import json
import random
import re
import socket
import struct
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

MISBEHAVIOURS = ("429", "500", "400", "half", "html", "empty", "none", "rubbish", "endless", "hang", "reset")
"""half: the body breaks off; empty: an answer without text; none: no answer in the list; endless: a body that never
ends; hang: nothing comes at all; reset: the connection is reset. The others say what they are."""

_ORDER = re.compile(r"\[\[stand-in: (\w+)(?: x(\d+))?\]\]")
_EXAMPLE = re.compile(r"Input: (.*?)(?:,\s*|\n\s*)Response: (.*?)(?:\.?\n|\.?\Z)", re.S)
_LENGTH = re.compile(rb"^content-length: *(\d+)", re.I | re.M)


@dataclasses.dataclass(frozen=True)
class Manners:
    """How it behaves when nothing is ordered."""

    slots: int = 8
    """Answers that are written at the same time; further requests wait, as on a real server."""
    first_token_seconds: float = 0.0
    seconds_per_token: float = 0.0
    retry_after: str = "1"
    """Goes with a 429."""
    api_key: str | None = None
    """Requests without it get a 401; None: anyone may ask."""
    models: tuple[str, ...] = ("stand-in",)
    refused: tuple[str, ...] = ()
    """Parameters that it does not take."""
    thinking_tokens: int = 0
    """What it thinks with before it answers."""
    thoughts: str = "content"
    """Where its thoughts are told: as a <think> of the content, in a field of that name, or "" for nowhere."""
    counts_tokens: bool = True


@dataclasses.dataclass
class Counts:
    """What it saw; changed by its own thread alone."""

    requests: int = 0
    """Chat completions that were asked for, misbehaviours included."""
    answered: int = 0
    """Whole and right answers that were sent."""
    aborted: int = 0
    """Clients that left before their answer."""
    running: int = 0
    """Being answered now."""
    most_running: int = 0
    tokens: int = 0
    """Of the answers that were sent."""


def example_of(prompt: str) -> tuple[str, str]:
    """The example that a prompt shows, as input and output; the prompt's last words where it shows none."""
    found = _EXAMPLE.findall(prompt)
    return found[-1] if found else (" ".join(prompt.split()[-20:]), "nothing")


def pair_for(prompt: str, seed: int, model: str = "") -> str:
    """An answer with the words of the prompt's example in another order, the same for the same prompt and seed.

    Another model has another order.
    """
    source, target = example_of(prompt)
    words = _ORDER.sub("", source).split()
    random.Random(f"{model} {seed}").shuffle(words)
    return f"Input: {' '.join(words)} {seed % 1000}\nResponse: {target}"


def tokens_of(text: str) -> int:
    """About as many tokens as a model would count."""
    return 1 + len(text) // 4


class _Gone(Exception):
    """The client has left."""


def _head(status: int, kind: str, length: int | None, more: str = "") -> bytes:
    size = "Connection: close" if length is None else f"Content-Length: {length}"
    return f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\n{size}\r\n{more}\r\n".encode()


def _whole(status: int, body: Any, more: str = "") -> bytes:
    sent = json.dumps(body).encode()
    return _head(status, "application/json", len(sent), more) + sent


def _error(status: int, words: str, more: str = "", param: str | None = None) -> bytes:
    return _whole(status, {"error": {"message": words, "type": "stand_in", "code": None, "param": param}}, more)


def _completion(model: str, texts: list[str]) -> dict[str, Any]:
    tokens = sum(map(tokens_of, texts))
    return {
        "id": "chatcmpl-stand-in",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1},
    }


def _think(answer: dict[str, Any], manners: Manners, most: int) -> int:
    """Have an answer begin with thoughts, and end where so many tokens are used up; how many it has."""
    choice = answer["choices"][0]
    tokens = manners.thinking_tokens + int(answer["usage"]["completion_tokens"])
    thoughts = "hmm " * min(most, manners.thinking_tokens)
    if tokens > most:
        room = max(0, most - manners.thinking_tokens)
        cut = choice["message"]["content"][: 4 * room]
        tokens, choice["finish_reason"], choice["message"]["content"] = most, "length", cut
    if manners.thoughts == "content":
        end = "</think>" if choice["message"]["content"] else ""
        choice["message"]["content"] = f"<think>{thoughts}{end}{choice['message']['content']}"
    elif manners.thoughts:
        choice["message"][manners.thoughts] = thoughts
    answer["usage"] = {"completion_tokens": tokens} if manners.counts_tokens else None
    return tokens


class StandIn:
    """The server, within an event loop of its own."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self.counts = Counts()
        self.bodies: list[dict[str, Any]] = []
        """What was asked, newest last; the last thousand."""
        self._slots = asyncio.Semaphore(manners.slots)
        self._ordered: collections.Counter[str] = collections.Counter()

    def _order(self, source: str) -> str | None:
        """The misbehaviour that this input asks for, as long as it is to be had."""
        found = _ORDER.search(source)
        if found is None or found[1] not in MISBEHAVIOURS:
            return None
        self._ordered[source] += 1
        return found[1] if found[2] is None or self._ordered[source] <= int(found[2]) else None

    async def _write(self, asked: dict[str, Any], prompt: str) -> bytes:
        """A good answer, after the time that a model would take for it."""
        # A real server draws a seed itself where none comes.
        seed = asked.get("seed", self.counts.requests)
        texts = [pair_for(prompt, seed + index, str(asked.get("model"))) for index in range(asked.get("n") or 1)]
        tokens = sum(map(tokens_of, texts))
        async with self._slots:
            await asyncio.sleep(self.manners.first_token_seconds + tokens * self.manners.seconds_per_token)
        answer = _completion(str(asked.get("model")), texts)
        if self.manners.thinking_tokens:
            tokens = _think(answer, self.manners, asked["max_tokens"])
        self.counts.tokens += tokens
        self.counts.answered += 1
        return _whole(200, answer)

    async def _misbehave(self, order: str, writer: asyncio.StreamWriter) -> bytes:
        if order == "hang":
            await asyncio.sleep(3600)
        if order == "endless":
            writer.write(_head(200, "application/json", None))
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        if order == "reset":
            # With no time to linger the kernel resets the connection.
            taken = writer.get_extra_info("socket")
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _Gone
        return {
            "429": _error(429, "Too many requests.", f"Retry-After: {self.manners.retry_after}\r\n"),
            "500": _error(500, "It broke."),
            "400": _error(400, "The prompt is too long."),
            "half": _head(200, "application/json", 500) + b'{"id": "chatcmpl-stand-in", "choi',
            "html": _head(200, "text/html", 26) + b"<html>Welcome home!</html>",
            "empty": _whole(200, _completion("stand-in", [""])),
            "none": _whole(200, _completion("stand-in", [])),
            "rubbish": _whole(200, _completion("stand-in", ["\u0000\x1b[31m}{ asdf \ufffd" * 40])),
        }[order]

    async def _chat(self, body: bytes, writer: asyncio.StreamWriter) -> bytes:
        asked = json.loads(body)
        self.bodies = [*self.bodies[-999:], asked]
        for name in self.manners.refused:
            if name in asked:
                # As long as a real server takes: what was sent beside it comes before the answer to it.
                await asyncio.sleep(0.05)
                return _error(400, f"{name} is not supported.", param=name)
        prompt = str(asked["messages"][-1]["content"])
        order = self._order(example_of(prompt)[0])
        return await (self._misbehave(order, writer) if order else self._write(asked, prompt))

    async def _answer(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bytes:
        path = head.split(b" ", 2)[1]
        if path == b"/counts":
            return _whole(200, dataclasses.asdict(self.counts))
        key = self.manners.api_key
        if key is not None and f"authorization: bearer {key}".encode().lower() not in head.lower():
            return _error(401, "A wrong key.")
        if path == b"/v1/models":
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "us"} for name in self.manners.models]
            return _whole(200, {"object": "list", "data": models})
        if path != b"/v1/chat/completions":
            return _error(404, "There is nothing here.")
        return await self._counted(self._chat(body, writer))

    async def _counted(self, chat: Any) -> bytes:
        counts = self.counts
        counts.requests += 1
        counts.running += 1
        counts.most_running = max(counts.most_running, counts.running)
        try:
            return bytes(await chat)
        except asyncio.CancelledError:
            counts.aborted += 1
            raise
        finally:
            counts.running -= 1

    async def _unless_gone(self, work: Any, reader: asyncio.StreamReader) -> bytes:
        """What the work gives; it is cancelled when the client leaves before."""
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise _Gone
            return bytes(working.result())
        finally:
            for task in (working, leaving):
                task.cancel()
                with contextlib.suppress(BaseException):
                    await task

    async def _requests(self, reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                yield head, await reader.readexactly(int(length[1]) if length else 0)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, a request after the other."""
        try:
            async for head, body in self._requests(reader):
                answer = await self._unless_gone(self._answer(head, body, writer), reader)
                writer.write(answer)
                await writer.drain()
                if b"chatcmpl-stand-in" in answer and answer.endswith(b'"choi'):
                    return
        # Cancelled when it ends; asyncio would tell of that at length.
        except (_Gone, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def listen(self, port: int = 0) -> tuple[asyncio.Server, str]:
        """Start to answer on loopback; the server and its address, as an OpenAI client takes it."""
        server = await asyncio.start_server(self.connected, "127.0.0.1", port, limit=2**20, backlog=1024)
        return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


class Running:
    """A stand-in in a thread of its own."""

    def __init__(self, manners: Manners) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="stand-in")
        self._loop_thread.start()
        self._server, self.url = asyncio.run_coroutine_threadsafe(self._listen(manners), self._loop).result(10)

    async def _listen(self, manners: Manners) -> tuple[asyncio.Server, str]:
        self._stand_in = StandIn(manners)
        return await self._stand_in.listen()

    @property
    def counts(self) -> Counts:
        """What it saw so far."""
        return dataclasses.replace(self._stand_in.counts)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was asked for, newest last."""
        return list(self._stand_in.bodies)

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        """Drop all connections and end."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join(10)
        self._loop.close()


@contextlib.contextmanager
def standing_in(**manners: Any) -> Iterator[Running]:
    """A running stand-in on a free loopback port; keywords are those of Manners."""
    running = Running(Manners(**manners))
    try:
        yield running
    finally:
        running.close()


def main() -> None:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--first-token-seconds", type=float, default=0.0)
    parser.add_argument("--seconds-per-token", type=float, default=0.0)
    parser.add_argument("--retry-after", default="1")
    with standing_in(**vars(parser.parse_args())) as running:
        print(running.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
