"""What a training will take, before it is started: its memory held against what is free, and its time.

Memory is arithmetic on the network's sizes and the examples' lengths. Time needs a speed that was measured here: that
of the newest training of the same model, or of a probe (`app.pipeline.probing`). Nothing here loads a network.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from app.device import batching
from app.device.catalogue import LocalModel
from app.device.forecasting import Fit, Memory, fit, forecast, lower_micro_tokens
from app.device.memory import Room, find_room
from app.device.rendering import Example, render_whole
from app.device.shapes import Shape, shape_of
from app.device.tokenising import Tokeniser, open_tokeniser
from app.device.training import FineTuning
from app.device.weights import is_prepared, possible_quantisation
from app.errors import SHOWN
from app.pipeline.dataset import TrainingData, TrainingText, gather
from app.pipeline.jobs import TrainSettings
from app.pipeline.models import device_model
from app.pipeline.speeds import Speed, known_speed
from app.pipeline.workspace import Workspace
from app.tasks import Task

MOST_MEASURED = 400
"""Texts whose tokens are counted; of more, the longest and a sample of the others stand for all."""
FORWARD = 1 / 3
"""Of a training step's time: scoring a held-out example goes through the network once and not back."""
SYSTEMS = 3
"""Systems that answer each held-out record for the verdict: base, base with records looked up, personal."""
VERDICTS: Mapping[Fit, str] = {"fits": "It fits", "tight": "It is tight", "does not fit": "It does not fit"}


@dataclasses.dataclass(frozen=True)
class _ByHash:
    """Texts that are told apart by their hash, to be kept by."""

    hash: str
    data: TrainingData = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True)
class Lengths:
    """How long the examples of a training are; `tokens` and `cut` are exact where no sample was taken."""

    examples: tuple[Example, ...]
    """Of the right lengths, their ids all 0; a sample where there are very many texts."""
    held_out: tuple[Example, ...]
    count: int
    """Examples that the sample stands for."""
    tokens: int
    """That the network reads of all of them once."""
    cut: int
    """So many of them are cut to the longest that is allowed."""


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a training would take."""

    task: str
    model: str
    examples: int
    held_out: int
    cut: int
    """Examples whose text is longer than what is learned of it."""
    memory: Memory
    room: Room
    fit: Fit
    seconds: float | None
    """From the start to the verdict; with patience, at most. None: no speed is known here yet."""
    speed: Speed | None
    """What the seconds are reckoned with."""
    advice: str
    """What to do where it is tight or does not fit, else empty."""
    less: str = ""
    """What cannot be had there of what is wanted, in a sentence; empty where everything can."""


def _measure(tokeniser: Tokeniser, task: Task, text: TrainingText, max_tokens: int) -> tuple[Example, bool]:
    """An example as long as `rendering.render_example` makes it, and whether that cuts it."""
    prompt = len(render_whole(tokeniser, task, text.input))
    completion = len(tokeniser.encode(text.output, special=False)) + 1
    learned = min(completion, max(max_tokens // 2, max_tokens - prompt))
    given = min(prompt, max_tokens - learned)
    return Example((0,) * given, (0,) * learned), prompt + completion > max_tokens


def _sample(texts: Sequence[TrainingText]) -> tuple[Sequence[TrainingText], Sequence[TrainingText]]:
    """The longest, which decide the memory, and texts some spread over the others; few texts are all of the latter."""
    if len(texts) <= MOST_MEASURED:
        return (), texts
    by_length = sorted(texts, key=lambda text: len(text.input) + len(text.output))
    few = MOST_MEASURED // 4
    longest, others = by_length[-few:], by_length[:-few]
    stride = -(-len(others) // (MOST_MEASURED - few))
    return longest, others[::stride]


def measure(tokeniser: Tokeniser, data: TrainingData, max_tokens: int) -> Lengths:
    """How long the examples of a training set are; takes about a second where there are very many."""
    longest, spread = (
        [_measure(tokeniser, data.task, text, max_tokens) for text in part] for part in _sample(data.texts)
    )
    share = (len(data.texts) - len(longest)) / len(spread)
    return Lengths(
        tuple(example for example, _ in longest + spread),
        tuple(_measure(tokeniser, data.task, text, max_tokens)[0] for text in data.held_out),
        len(data.texts),
        round(
            sum(batching.length(example) for example, _ in longest) + share * sum(batching.length(e) for e, _ in spread)
        ),
        round(sum(cut for _, cut in longest) + share * sum(cut for _, cut in spread)),
    )


@functools.lru_cache(maxsize=1)
def _measured(model: LocalModel, max_tokens: int, data: _ByHash) -> Lengths:
    """As `measure`, kept: a page asks again with each change of a setting."""
    return measure(open_tokeniser(model), data.data, max_tokens)


def _seconds(lengths: Lengths, settings: FineTuning, speed: Speed) -> float:
    held_out = sum(map(batching.length, lengths.held_out))
    tokens = lengths.tokens * settings.epochs + held_out * (settings.epochs + 1) * FORWARD
    answers = len(lengths.held_out) * SYSTEMS * speed.answer_seconds
    return speed.ready_seconds + tokens / speed.tokens_per_second + answers


@dataclasses.dataclass(frozen=True)
class _Plan:
    """All that the memory of a training depends on, beside its settings."""

    shape: Shape
    lengths: Lengths
    room: Room
    unpack: bool

    def memory(self, settings: FineTuning) -> Memory:
        examples, held_out = self.lengths.examples, self.lengths.held_out
        return forecast(self.shape, settings, examples, held_out, self.room.device, self.unpack)

    def fit(self, settings: FineTuning) -> Fit:
        return fit(self.memory(settings).peak_mb, self.room.free_mb)


def _advice(plan: _Plan, settings: FineTuning) -> str:
    """What makes it fit: fewer tokens at once, as many as still fit, or else another model."""
    for lower in lower_micro_tokens(settings):
        if plan.fit(lower) == "fits":
            return (
                f"Take {lower.micro_tokens} tokens at once (Settings of the training, or --micro-tokens): the same"
                " result, a little slower. Closing other programs helps too."
            )
    return "Close other programs, or choose a smaller model under Settings or with `cdcda models use`."


def _possible(settings: FineTuning, room: Room) -> tuple[FineTuning, str]:
    """The settings with the weights held as they can be there, and a sentence where that is less."""
    quantisation, less = possible_quantisation(settings.quantisation, room.device)
    return dataclasses.replace(settings, quantisation=quantisation), less


def foresee(workspace: Workspace, chosen: TrainSettings, room: Room | None = None) -> Forecast:
    """What a training with these settings would take if it were started now.

    `room` is where it would compute; found where it is not given. Raises NothingToTrain, BadInput, ModelMissing and
    ModelDamaged, as the start would.
    """
    room = room or find_room()
    data, model = gather(workspace, chosen.task, chosen.seed), device_model(workspace, chosen.model)
    settings, less = _possible(chosen.resolved(), room)
    lengths = _measured(model, settings.max_tokens, _ByHash(data.hash, data))
    plan = _Plan(shape_of(model), lengths, room, not is_prepared(model, workspace.prepared))
    speed = known_speed(workspace, model.name, settings)
    return Forecast(
        task=data.task.name,
        model=model.name,
        examples=lengths.count,
        held_out=len(lengths.held_out),
        cut=lengths.cut,
        memory=plan.memory(settings),
        room=room,
        fit=plan.fit(settings),
        seconds=None if speed is None else _seconds(lengths, settings, speed),
        speed=speed,
        advice="" if plan.fit(settings) == "fits" else _advice(plan, settings),
        less=less,
    )


def in_words(found: Forecast) -> str:
    """Memory and verdict in a sentence; one more where the weights are not held as they were wanted."""
    where = "GPU memory" if found.room.device == "cuda" else "memory"
    return (
        f"{VERDICTS[found.fit]}: about {found.memory.peak_mb / 1000:.1f} GB of {where} at its peak,"
        f" {found.room.free_mb / 1000:.1f} GB are free. {found.less}"
    ).rstrip()


def in_minutes(seconds: float) -> str:
    """About how long, for people: 40 s, 3 min, 2 h 5 min."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def time_in_words(found: Forecast) -> str:
    """The time in a sentence, and what it is known from."""
    if found.seconds is None or found.speed is None:
        return "How long it takes is not known yet: nothing was trained or probed with this model here."
    source = "your last training of this model" if found.speed.source == "training" else "the probe"
    return (
        f"About {in_minutes(found.seconds)} from the start to the verdict, going by the"
        f" {found.speed.tokens_per_second:,.0f} tokens/s of {source}."
    )


def warning(workspace: Workspace, chosen: TrainSettings) -> str:
    """What to say to somebody who starts a training that does not fit; empty where it fits, or cannot be told."""
    try:
        found = foresee(workspace, chosen)
    except SHOWN:
        # The start says it, and better.
        return ""
    return f"{in_words(found)} {found.advice}" if found.fit == "does not fit" else ""
