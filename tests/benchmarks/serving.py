"""How fast the engine writes beside its peers, switches adapters and begins; nothing is asserted.

    python -m tests.benchmarks.serving [--model NAME_OR_PATH] [--threads 2] [--rounds 5]

The embedded model, or another, with a LoRA of rank 16 on every linear layer, of small random numbers: what it writes
does not matter to the clock. Peers on the same file, prompt and threads: llama-cpp-python without an adapter (what its
own `Llama` does for each token), and transformers' `generate` on the dequantised weights, with the same adapter by
PEFT. Decoding is measured in turns, so that what else the computer does meets all alike, and without the prompt; the
median of the rounds' speeds, and of their ratios, counts.
"""

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.device import weights
from app.device.adapters import GGUF_ADAPTER
from app.device.catalogue import EMBEDDED, LocalModel, find_model
from app.device.engines import Engine, Sampling, open_engine
from app.device.gguf_adapter import layout_of, write_gguf_adapter
from app.device.merged import merged_file
from app.device.rendering import Message, render_prompt
from app.device.streaming import BLOCK
from app.device.tokenising import open_tokeniser

RANK = 16
TOKENS = 64
CONTEXT = 2048
PROMPT_TOKENS = 500
QUESTION = "Write a long story about a lighthouse keeper and the sea."


def write_adapter(base: Path, folder: Path, seed: int) -> Path:
    """A LoRA as a training leaves it, PEFT and GGUF, for a prepared base."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    generator, tensors = np.random.default_rng(seed), {}
    with safe_open(base / "model.safetensors", framework="pt") as file:
        names = [name for name in file.keys() if name.endswith("_proj.weight")]  # noqa: SIM118
        for name in names:
            outputs, inputs = file.get_slice(name).get_shape()
            layer = f"base_model.model.{name.removesuffix('.weight')}"
            tensors[f"{layer}.lora_A.weight"] = generator.normal(0, 0.02, (RANK, inputs)).astype(np.float32)
            tensors[f"{layer}.lora_B.weight"] = generator.normal(0, 0.02, (outputs, RANK)).astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    modules = sorted({name.split(".")[-2] for name in names})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK // 2, "target_modules": modules}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    write_gguf_adapter(folder, layout_of(base), folder / "adapter.gguf")
    return folder


def _rate(times: Sequence[float]) -> float:
    """Tokens a second behind the first, which the prompt belongs to."""
    return (len(times) - 1) / (times[-1] - times[0])


def engine_rate(engine: Engine, prompt: list[int], adapter: Path | None) -> float:
    """Of the app's engine; a token a piece, as tokens are counted by the engine itself."""
    times, tokens = [], []
    for piece in engine.stream(prompt, adapter, Sampling(max_tokens=TOKENS)):
        times.append(time.perf_counter())
        tokens.append(piece.tokens)
    return (tokens[-1] - tokens[0]) / (times[-1] - times[0])


def bare_rate(bare: Any, prompt: list[int]) -> float:
    """Of llama-cpp-python's own generator."""
    times: list[float] = []
    for _ in bare.generate(prompt, temp=0.0, repeat_penalty=1.0):
        times.append(time.perf_counter())
        if len(times) == TOKENS:
            break
    return _rate(times)


def transformers_rate(network: Any, prompt: list[int]) -> float:
    """Of `generate`, by the difference of a long and a short answer."""
    import torch

    ids = torch.tensor([prompt])

    def seconds(tokens: int) -> float:
        started = time.perf_counter()
        network.generate(input_ids=ids, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens)
        return time.perf_counter() - started

    return (TOKENS // 2 - 2) / (seconds(TOKENS // 2) - seconds(2))


def without(network: Any, prompt: list[int]) -> float:
    """Of `generate` with PEFT's adapter taken out of the way."""
    with network.disable_adapter():
        return transformers_rate(network, prompt)


def in_turns(rounds: int, measures: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """What each round gave; the first one warms up and is not counted."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds + 1):
        for name, measure in measures.items():
            value = measure()
            if number:
                found[name].append(value)
    return found


def first_token(engine: Engine, prompt: list[int], adapter: Path | None = None) -> tuple[float, int]:
    """Seconds to the first token, and how many of the prompt's tokens were known."""
    started = time.perf_counter()
    stream = engine.stream(prompt, adapter, Sampling(max_tokens=1))
    list(stream)
    return time.perf_counter() - started, stream.account.reused


def decoding(engine: Engine, model: LocalModel, prepared: Path, prompt: list[int], adapter: Path, args: Any) -> None:
    """Tokens a second with the adapter and without, and of the peers."""
    # Not before the engine, which sets how OpenMP's threads wait for each other.
    import llama_cpp
    import peft
    import torch
    import transformers

    torch.set_num_threads(args.threads)
    bare = llama_cpp.Llama(
        str(model.path), n_ctx=CONTEXT, n_batch=BLOCK, n_threads=args.threads, flash_attn=True, verbose=False
    )
    measures: dict[str, Callable[[], float]] = {
        "with the adapter": lambda: engine_rate(engine, prompt, adapter),
        "without": lambda: engine_rate(engine, prompt, None),
        "bare llama-cpp-python": lambda: bare_rate(bare, prompt),
    }
    for name in ("bfloat16", "float32"):
        network = transformers.AutoModelForCausalLM.from_pretrained(prepared, dtype=getattr(torch, name))
        adapted = peft.PeftModel.from_pretrained(network, adapter).eval()
        measures[f"transformers {name}, without"] = functools.partial(without, adapted, prompt)
        measures[f"transformers {name}, with the adapter"] = functools.partial(transformers_rate, adapted, prompt)
    rates = in_turns(args.rounds, measures)
    bare.close()
    for name, found in rates.items():
        times = [ours / theirs for ours, theirs in zip(rates["with the adapter"], found, strict=True)]
        print(
            f"decode, {name}: {statistics.median(found):.1f} tokens/s; ours {statistics.median(times):.2f} times that"
        )


def merging_ahead(model: LocalModel, adapters: Sequence[Path], cache: Path) -> None:
    """As the end of a training does it; the median of the adapters' seconds."""
    seconds = []
    for adapter in adapters:
        started = time.perf_counter()
        merged_file(model.path, [adapter / GGUF_ADAPTER], cache)
        seconds.append(time.perf_counter() - started)
    print(f"merging an adapter in, once behind its training: {statistics.median(seconds):.1f} s")


def switching(engine: Engine, prompt: list[int], adapters: Sequence[Path]) -> None:
    """What the first token costs behind a switch, less what it costs without one; the prompt is short."""
    opened = [first_token(engine, prompt, adapter)[0] for adapter in adapters]
    stayed = statistics.median(first_token(engine, prompt, adapters[-1])[0] for _ in range(10))
    known = [first_token(engine, prompt, adapters[turn % 2])[0] for turn in range(10)]
    fresh = statistics.median(opened) - stayed
    again = max(0.0, statistics.median(known) - stayed)
    print(f"switch to an adapter for the first time: {fresh * 1e3:.0f} ms; back to a known one: {again * 1e3:.1f} ms")
    print(f"(first token without a switch: {stayed * 1e3:.0f} ms)")


def beginning(model: LocalModel, long: list[int], threads: int, rounds: int) -> None:
    """The first token of a prompt that is cold, and of one whose prefix is known."""
    cold, warm, known = [], [], 0
    for number in range(rounds):
        engine = open_engine(model, CONTEXT, threads)
        first_token(engine, long[:8])
        # Another beginning, so that nothing is known of what follows.
        cold.append(first_token(engine, [long[number + 1], *long[1:]])[0])
        seconds, known = first_token(engine, [long[number + 1], *long[1:-4], *long[:4]])
        warm.append(seconds)
        engine.close()
    ratio = statistics.median(warm) / statistics.median(cold)
    print(
        f"first token of {len(long)} tokens: cold {statistics.median(cold) * 1e3:.0f} ms, {known} of them known"
        f" {statistics.median(warm) * 1e3:.0f} ms: {ratio:.2f} times"
    )


def _prompts(model: LocalModel) -> Iterator[list[int]]:
    """A short one, and one of PROMPT_TOKENS."""
    tokeniser = open_tokeniser(model)
    yield render_prompt(tokeniser, [Message("user", QUESTION)])
    yield render_prompt(tokeniser, [Message("user", " ".join([QUESTION] * 60))])[:PROMPT_TOKENS]


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=EMBEDDED, help="name or path of a GGUF model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        model = find_model(args.model, Path(home))
        prepared = weights.prepare(model, Path(home) / "prepared", print)
        adapters = [write_adapter(prepared, Path(home) / f"adapter-{seed}", seed) for seed in range(3)]
        cache = Path(home) / "prepared"
        merging_ahead(model, adapters, cache)
        short, long = _prompts(model)
        engine = open_engine(model, CONTEXT, args.threads, cache)
        first_token(engine, short)
        switching(engine, short, adapters)
        decoding(engine, model, prepared, short, adapters[0], args)
        engine.close()
        beginning(model, long, args.threads, args.rounds)


if __name__ == "__main__":
    main()
