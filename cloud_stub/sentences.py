"""The form "sentences": a record's input is said anew piece by piece, and what changes a piece's meaning is left out.

A small model copies or shortens a long text when it is asked for the whole; a sentence it can say in other words. Each
piece gets several rewrites, and texts that take some of what these change; those that a filter or the proofreader would
reject are drawn again, a bounded number of times, and where none holds the piece stays as the person wrote it. The
answer stays the person's own but for words that a variation changes without changing what is said.
"""

import asyncio
import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence

from cloud_stub.errors import RecordTooLong
from cloud_stub.facts import same_facts, same_relations
from cloud_stub.mixing import mixtures
from cloud_stub.nli import NliScorer
from cloud_stub.pieces import pieces
from cloud_stub.prompts import Prompt, one_line, seeded, sentence_prompt, variation_prompt
from cloud_stub.proofreading import Proofreader
from cloud_stub.rouge import rouge_l
from cloud_stub.schemas import AugmentRequest, SharedRecord, Thresholds
from cloud_stub.writing import Draw, Drawn, Fault, LanguageModel, Sample, same, tidy

ATTEMPTS = 3
"""How often a piece among several is drawn until it has enough rewrites."""
ATTEMPTS_ALONE = 6
"""The same of a text that is one piece: where it has no good rewrite, the record has no pair."""
VARIED_ENOUGH = 0.95
"""ROUGE-L; a rewrite more like its piece than this has not been rewritten."""
SHORT = 3
"""Pieces; a text of no more is read word by word, because each of its words counts: most of what the inference model
lets through wrongly is in short texts, and in long ones so few rewrites pass the proofreader that nothing is kept."""
MARGIN = 0.05
"""What the agreement of a piece that is read word by word must have over the threshold that the client will hold the
whole to."""
MIXTURES = 60
"""Texts between a piece and its rewrites that are looked at after each draw; and so many that take together what held
alone."""
CANDIDATES = 100
"""Texts put together from a record's rewrites, of which k are chosen."""
SAME_ANSWER = 0.7
"""Least entailment both ways of an answer and its variation; more than for inputs, because an answer is the manner
itself."""
CLOSE_ANSWER = 0.5
"""Least ROUGE-L of an answer and its variation."""


@dataclasses.dataclass(frozen=True)
class Studio:
    """What the draws of one record share."""

    model: LanguageModel
    scorer: NliScorer
    reader: Proofreader
    request: AugmentRequest
    record: SharedRecord
    should_stop: Callable[[], bool]

    async def write(self, prompt: Prompt, place: object, attempt: int, count: int) -> list[Sample]:
        """So many samples of a prompt; the seeds depend on the record and the place in it."""
        seeds = [
            seeded(self.request.seed, self.record.reference, place, number, attempt) for number in range(1, count + 1)
        ]
        return await self.model.write(prompt, seeds, self.request.temperature, self.should_stop)

    def agreement(self, text: str, others: Sequence[str]) -> list[float]:
        """The lesser of P(text entails other) and P(other entails text), of each other."""
        there = [(text, other) for other in others]
        found = self.scorer.entailment(there + [(other, text) for text, other in there])
        return [min(pair) for pair in zip(found[: len(others)], found[len(others) :], strict=True)]


@dataclasses.dataclass
class Piece:
    """A piece of the input and what has been made of it."""

    text: str
    least: float
    """Agreement that a rewrite must reach."""
    alike: float
    """ROUGE-L that it must not pass."""
    far: float
    """ROUGE-L that the whole must not pass."""
    strict: bool
    """It is read word by word."""
    drawn: list[str] = dataclasses.field(default_factory=list)
    """What the model wrote, good and bad."""
    good: list[str] = dataclasses.field(default_factory=list)
    """Texts that say the same in other words."""
    near: list[str] = dataclasses.field(default_factory=list)
    """Texts that say the same in nearly the same words."""
    poor: list[tuple[float, str]] = dataclasses.field(default_factory=list)
    """Agreement and text of those that a filter would reject."""
    seen: set[str] = dataclasses.field(default_factory=set)
    """All that was looked at, in lower case."""

    def news(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts that nobody has looked at and that change no fact, different ones first."""
        # No filter would see a changed number.
        found = [text for text in texts if text.lower() not in self.seen and self._same(text)]
        return sorted(dict.fromkeys(found), key=self.is_alike)

    def _same(self, text: str) -> bool:
        return same_facts(self.text, text) and (not self.strict or same_relations(self.text, text))

    def is_alike(self, text: str) -> bool:
        """Whether the diversity filter would reject it."""
        return rouge_l(self.text, text) > self.alike

    def enough(self, k: int) -> bool:
        """Whether there are rewrites for k pairs, one of them as different as the whole has to be."""
        far = any(rouge_l(self.text, text) <= self.far for text in self.good)
        return len(self.good) >= k and (far or not self.strict)

    def ways(self, poor: bool) -> list[str]:
        """What may stand for the piece, the most different first; on request the poor ones too, the best first."""
        good = sorted(self.good, key=lambda text: rouge_l(self.text, text))
        return good + [text for _, text in sorted(self.poor, reverse=True) if poor]


def _usable(sample: Sample, text: str) -> str | None:
    rewrite = tidy(sample.input, text)
    usable = sample.fault is None and rewrite and not same(rewrite, text) and rouge_l(text, rewrite) < VARIED_ENOUGH
    return rewrite if usable else None


def _judge(studio: Studio, piece: Piece, texts: Sequence[str]) -> None:
    """Take in the texts that hold; of the others, those that a filter will reject, for the person to see.

    What the proofreader alone refuses is dropped: no filter would, and a person should not have to.
    """
    piece.seen.update(text.lower() for text in texts)
    says = studio.reader.says_the_same(piece.text, texts) if piece.strict else [True] * len(texts)
    said = [text for text, holds in zip(texts, says, strict=True) if holds]
    agreements = studio.agreement(piece.text, said)
    least = piece.least + MARGIN * piece.strict
    piece.poor += [(found, text) for found, text in zip(agreements, said, strict=True) if found < piece.least]
    held = [text for found, text in zip(agreements, said, strict=True) if found >= least]
    reads = studio.reader.reads_well(piece.text, held) if piece.strict else [True] * len(held)
    for text, good in zip(held, reads, strict=True):
        if good:
            (piece.near if piece.is_alike(text) else piece.good).append(text)


def _look_at(studio: Studio, piece: Piece, drawn: Sequence[str]) -> None:
    """Judge what was drawn and, of a piece that is read word by word, what lies between it and that, and what takes
    together the changes that held."""
    piece.drawn += drawn
    fresh = piece.news(drawn)
    piece.poor += [(0.0, text) for text in fresh if piece.is_alike(text)]
    _judge(studio, piece, fresh)
    if piece.strict:
        _judge(studio, piece, piece.news(mixtures(piece.text, piece.drawn))[:MIXTURES])
        together = piece.news(mixtures(piece.text, [*piece.good, *piece.near]))
        _judge(studio, piece, [text for text in together if not piece.is_alike(text)][:MIXTURES])


async def _rewrite(studio: Studio, number: int, piece: Piece, attempts: int) -> int:
    """Draw rewrites of a piece until there are k good ones, a bounded number of times; how many tokens it took."""
    text, tokens = piece.text, 0
    for attempt in range(attempts if studio.request.temperature > 0 else 1):
        if piece.enough(studio.request.k) or studio.should_stop():
            break
        samples = await studio.write(sentence_prompt(text), number, attempt, studio.request.k)
        tokens += sum(sample.tokens for sample in samples)
        _look_at(studio, piece, [rewrite for sample in samples if (rewrite := _usable(sample, text))])
    return tokens


def _by_overlap(ways: Sequence[Sequence[str]], costs: Sequence[Sequence[float]]) -> Iterator[tuple[str, ...]]:
    """Every text that takes one way of each piece, in the order of what their ways cost together."""
    queue = [(sum(own[0] for own in costs), (0,) * len(ways))]
    seen = {queue[0][1]}
    while queue:
        cost, places = heapq.heappop(queue)
        yield tuple(own[place] for own, place in zip(ways, places, strict=True))
        for number, place in enumerate(places):
            following = (*places[:number], place + 1, *places[number + 1 :])
            if place + 1 < len(ways[number]) and following not in seen:
                seen.add(following)
                heapq.heappush(queue, (cost + costs[number][place + 1] - costs[number][place], following))


def _unlike(candidates: Sequence[tuple[str, ...]], chosen: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The candidate that shares the fewest pieces with the chosen text that it is most like; the first of several."""

    def shared(one: tuple[str, ...]) -> int:
        return max(sum(a == b for a, b in zip(one, other, strict=True)) for other in chosen)

    return min(candidates, key=shared)


def _combined(made: Sequence[Piece], k: int, alike: float) -> list[tuple[str, ...]]:
    """Up to k distinct texts, as their pieces: in other words than the original first, then unlike each other."""
    # With no good rewrite of any piece the poor ones go out, for the filters to judge and the person to see.
    poor = len(made) == 1 or not any(piece.good for piece in made)
    ways = [piece.ways(poor) or [piece.text] for piece in made]
    costs = [
        [float(place) if poor else len(way.split()) * rouge_l(piece.text, way) for place, way in enumerate(own)]
        for piece, own in zip(made, ways, strict=True)
    ]
    candidates = list(itertools.islice(_by_overlap(ways, costs), CANDIDATES))
    if poor:
        return candidates[:k]
    original = " ".join(piece.text for piece in made)
    different = [one for one in candidates if rouge_l(original, " ".join(one)) <= alike]
    chosen = candidates[:1]
    while len(chosen) < k and (left := [one for one in different if one not in chosen]):
        chosen.append(_unlike(left, chosen))
    return [*chosen, *(one for one in candidates if one not in chosen)][:k]


async def _varied(studio: Studio) -> tuple[list[str], int]:
    """Variations of the record's answer in the person's manner that say the same; with the tokens generated."""
    answer = one_line(studio.record.output)
    if studio.request.answer != "text":
        return [], 0
    try:
        samples = await studio.write(variation_prompt(studio.request, studio.record), "answer", 0, studio.request.k)
    except RecordTooLong:
        # The input may be short all the same, and the person's own answer goes with its rewrites.
        return [], 0
    found = [rewrite for sample in samples if (rewrite := _usable(sample, answer))]
    close = [text for text in found if rouge_l(answer, text) >= CLOSE_ANSWER and _same_manner(answer, text)]
    agreed = [
        text for text, agreement in zip(close, studio.agreement(answer, close), strict=True) if agreement >= SAME_ANSWER
    ]
    same_words = studio.reader.says_the_same(answer, agreed)
    good = [text for text, holds in zip(agreed, same_words, strict=True) if holds]
    return list(dict.fromkeys(good)), sum(sample.tokens for sample in samples)


def _same_manner(answer: str, variation: str) -> bool:
    """Whether numbers and tags are the same, and both begin in the same letter case and end in the same mark."""
    ends = (answer[-1], variation[-1])
    alike = ends[0] == ends[1] or (ends[0].isalnum() and ends[1].isalnum())
    return alike and answer[0].isupper() == variation[0].isupper() and same_facts(answer, variation)


def _draws(
    studio: Studio, made: Sequence[Piece], texts: Sequence[Sequence[str]], answers: Sequence[str]
) -> tuple[Draw, ...]:
    """The k draws; those that no text is left for have come to nothing."""
    missing: Fault = "stopped" if studio.should_stop() else "unusable answer"
    draws = []
    for number in range(1, studio.request.k + 1):
        seed = seeded(studio.request.seed, studio.record.reference, number, 0)
        ways = texts[number - 1] if number <= len(texts) else ()
        made_of = tuple((piece.text, way) for piece, way in zip(made, ways, strict=False))
        answer = answers[number % len(answers)]
        draws.append(Draw(number, seed, " ".join(ways), answer, None if ways else missing, made_of))
    return tuple(draws)


async def _written(studio: Studio, made: Sequence[Piece], attempts: int) -> tuple[tuple[list[str], int], int]:
    """What `_varied` gives, and the tokens of all pieces; everything is written together."""
    try:
        async with asyncio.TaskGroup() as group:
            varying = group.create_task(_varied(studio))
            rewriting = [
                group.create_task(_rewrite(studio, number, piece, attempts)) for number, piece in enumerate(made, 1)
            ]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return varying.result(), sum(task.result() for task in rewriting)


async def draw_by_sentence(
    model: LanguageModel,
    scorer: NliScorer,
    reader: Proofreader,
    request: AugmentRequest,
    record: SharedRecord,
    thresholds: Thresholds,
    should_stop: Callable[[], bool],
) -> Drawn:
    """Draw k pairs of a record that are likely to pass the thresholds; raises RecordTooLong."""
    studio = Studio(model, scorer, reader, request, record, should_stop)
    original = one_line(record.input)
    parts = pieces(original)
    # One piece among several may stay nearly as it is: the whole counts.
    alike = min(thresholds.rouge_l, VARIED_ENOUGH) if len(parts) == 1 else VARIED_ENOUGH
    made = [Piece(text, thresholds.entailment, alike, thresholds.rouge_l, len(parts) <= SHORT) for text in parts]
    attempts = ATTEMPTS_ALONE if len(parts) == 1 else ATTEMPTS
    (answers, generated), tokens = await _written(studio, made, attempts)
    texts = [ways for ways in _combined(made, request.k, thresholds.rouge_l) if not same(" ".join(ways), original)]
    return Drawn(_draws(studio, made, texts, [one_line(record.output), *answers]), tokens + generated)
