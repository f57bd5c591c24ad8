"""Every system that is compared: the source's, its ablations, and the trivial ones, so that nobody is fooled.

A method is a function from a Case (one target's records, share ratio, k, seed) and the Kit (the models) to answers.
None of them sees a gold answer of a question. LoRA weights start fresh for every target. Names in brackets are the
source's.

    cloud, cloud+rag      the large model as it is; with the person's most similar records in its prompt
    device, device+rag    M_base: the small model after other people's data; the same with records
    direct                [Direct-FT] learns from the person's records alone
    eda                   [EDA-FT] and from easy augmentations of them, k a record (Wei and Zou 2019)
    rkd                   [RKD-FT] and from the large model's probabilities on the shared ones (Gu et al. 2024)
    cdcda                 [CDCDA-PLM] and from the synthetic pairs that the three filters kept
    cdcda-rs              [RS] the same number of pairs, drawn at random
    cdcda-nods            [-DS] all pairs
    copy, majority, nearest   the input; the commonest label or mean rating; the most similar record's answer
    direct-neutral, cdcda-neutral   for LaMP-7: a neutral rewrite as each record's input
"""

import collections
import dataclasses
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Protocol

from app.device import distilling
from app.device.training import FineTuning
from app.errors import BadInput
from app.evaluation.desks import Answered, Desk
from app.evaluation.eda import augment
from app.evaluation.people import Target
from app.evaluation.pools import Synthetic, Wanted, shared_places
from app.evaluation.wordnet import find_wordnet, open_wordnet
from app.lamp import LampPair
from app.pipeline.retrieval import RETRIEVED, Retriever, augmented_prompts
from app.tasks import Task


@dataclasses.dataclass(frozen=True)
class Case:
    """One target under one setting."""

    task: Task
    target: Target
    share: float
    """Share of the records that may leave, 0 to 1."""
    k: int
    """Synthetic pairs asked for each shared record."""
    seed: int


class PairSource(Protocol):
    """Where synthetic pairs come from (`pools.Pools`)."""

    def pairs(self, wanted: Wanted) -> tuple[Synthetic, ...]:
        """Every pair that was written, judged."""


@dataclasses.dataclass(frozen=True)
class Kit:
    """The models and what they share."""

    device: Desk
    """M_device on M_base."""
    cloud: Desk
    """M_cloud."""
    pools: PairSource
    settings: FineTuning


def _prompts(case: Case, desk: Desk) -> list[list[int]]:
    return [desk.question_ids(case.task, question.input) for question in case.target.questions]


def _retrieval_prompts(case: Case, desk: Desk) -> list[list[int]]:
    """Prompts with similar records, fewer or shorter ones where the model's context is too small for them."""
    retriever = Retriever(case.target.records)
    made = []
    for question in case.target.questions:
        found = retriever.find(question.input, RETRIEVED)
        texts = [prompt for _, prompt in augmented_prompts(case.task, question.input, found)]
        made.append(desk.free_ids(case.task, texts) or desk.question_ids(case.task, question.input))
    return made


def _cloud(case: Case, kit: Kit) -> Answered:
    return kit.cloud.answer(case.task, _prompts(case, kit.cloud))


def _cloud_with_records(case: Case, kit: Kit) -> Answered:
    return kit.cloud.answer(case.task, _retrieval_prompts(case, kit.cloud))


def _device(case: Case, kit: Kit) -> Answered:
    return kit.device.answer(case.task, _prompts(case, kit.device))


def _device_with_records(case: Case, kit: Kit) -> Answered:
    return kit.device.answer(case.task, _retrieval_prompts(case, kit.device))


def _settings(case: Case, kit: Kit) -> FineTuning:
    return dataclasses.replace(kit.settings, seed=case.seed)


def _learn(case: Case, kit: Kit, pairs: Sequence[LampPair]) -> Answered:
    """Answers after learning from these pairs; exact repeats are learned once."""
    settings = _settings(case, kit)
    examples = kit.device.examples(case.task, list(dict.fromkeys(pairs)), settings.max_tokens)
    return kit.device.personal(case.task, _prompts(case, kit.device), examples, settings)


def _direct(case: Case, kit: Kit) -> Answered:
    return _learn(case, kit, case.target.records)


def _eda(case: Case, kit: Kit) -> Answered:
    made = augment(case.target.records, case.k, case.seed, open_wordnet(find_wordnet()))
    found = _learn(case, kit, [*case.target.records, *made])
    return dataclasses.replace(found, facts={**found.facts, "augmented": len(made)})


def _rkd(case: Case, kit: Kit) -> Answered:
    settings = _settings(case, kit)
    examples = kit.device.examples(case.task, case.target.records, settings.max_tokens)
    shared = shared_places(len(examples), case.share, case.seed)
    taught = [examples[place] for place in shared]
    loss = distilling.lazy_loss(kit.cloud.engine, kit.cloud.tokeniser, kit.device.tokeniser, taught)
    story = f"reverse KL from {kit.cloud.story} on {shared}"
    found = kit.device.personal(case.task, _prompts(case, kit.device), examples, settings, loss, story)
    return dataclasses.replace(found, facts={**found.facts, "taught": len(taught)})


def _pool(case: Case, kit: Kit, records: Sequence[LampPair]) -> tuple[Synthetic, ...]:
    return kit.pools.pairs(Wanted(case.target.user, case.task, tuple(records), case.share, case.k, case.seed))


def _filtered(pool: Sequence[Synthetic], seed: int) -> list[LampPair]:
    return [item.pair for item in pool if item.kept]


def _at_random(pool: Sequence[Synthetic], seed: int) -> list[LampPair]:
    """As many as the filters kept."""
    count = sum(item.kept for item in pool)
    return [item.pair for item in random.Random(seed).sample(list(pool), count)]


def _all(pool: Sequence[Synthetic], seed: int) -> list[LampPair]:
    return [item.pair for item in pool]


def _collaborative(
    choose: Callable[[Sequence[Synthetic], int], list[LampPair]],
    history: Callable[[Target], Sequence[LampPair]] = lambda target: target.records,
) -> Callable[[Case, Kit], Answered]:
    """Learns from a history joined with the pairs that `choose` takes from those written for it."""

    def method(case: Case, kit: Kit) -> Answered:
        records = history(case.target)
        pool = _pool(case, kit, records)
        chosen = choose(pool, case.seed)
        found = _learn(case, kit, [*records, *chosen])
        facts = {"written": len(pool), "kept": sum(item.kept for item in pool), "learned": len(chosen)}
        return dataclasses.replace(found, facts={**found.facts, **facts})

    return method


def _direct_neutral(case: Case, kit: Kit) -> Answered:
    return _learn(case, kit, case.target.neutral)


def _copy(case: Case, kit: Kit) -> Answered:
    return Answered(tuple(question.input for question in case.target.questions))


def _majority(case: Case, kit: Kit) -> Answered:
    """For ratings the mean, which need not be a whole number; for labels the commonest, of equals the latest used."""
    outputs = [record.output for record in case.target.records]
    if case.task.answer == "rating":
        answer = f"{statistics.fmean(map(float, outputs)):.4f}"
    else:
        counts = collections.Counter(outputs)
        answer = max(reversed(outputs), key=lambda output: counts[output])
    return Answered((answer,) * len(case.target.questions))


def _nearest(case: Case, kit: Kit) -> Answered:
    retriever = Retriever(case.target.records)
    return Answered(tuple(retriever.find(question.input, 1)[0].output for question in case.target.questions))


@dataclasses.dataclass(frozen=True)
class Method:
    """A method's name and what its answers depend on."""

    name: str
    title: str
    """In the source's words where it has one."""
    answer: Callable[[Case, Kit], Answered]
    by_share: bool = False
    """Depends on the share ratio."""
    by_k: bool = False
    """Depends on k."""
    by_seed: bool = False
    """Depends on the seed."""
    tasks: Callable[[Task], bool] = lambda task: True
    """Whether it makes sense for a task."""
    on_device: bool = True
    """Depends on the device model, and so on M_base."""


def _writes_text(task: Task) -> bool:
    return task.answer == "text"


def _chooses(task: Task) -> bool:
    # LaMP-1's records have titles, and its questions ask for one of two references.
    return task.answer != "text" and task.lamp != "LaMP_1"


def _has_neutral(task: Task) -> bool:
    return task.lamp == "LaMP_7"


METHODS: tuple[Method, ...] = (
    Method("copy", "copy of the input", _copy, tasks=_writes_text, on_device=False),
    Method("majority", "majority, or mean", _majority, tasks=_chooses, on_device=False),
    Method("nearest", "nearest record", _nearest, tasks=lambda task: task.lamp != "LaMP_1", on_device=False),
    Method("cloud", "M_cloud", _cloud, on_device=False),
    Method("cloud+rag", "M_cloud + RAG", _cloud_with_records, on_device=False),
    Method("device", "M_device", _device),
    Method("device+rag", "M_device + RAG", _device_with_records),
    Method("direct", "Direct-FT", _direct, by_seed=True),
    Method("eda", "EDA-FT", _eda, by_k=True, by_seed=True),
    Method("rkd", "RKD-FT", _rkd, by_share=True, by_seed=True),
    Method("cdcda", "CDCDA-PLM", _collaborative(_filtered), True, True, True),
    Method("cdcda-rs", "CDCDA-PLM, RS", _collaborative(_at_random), True, True, True),
    Method("cdcda-nods", "CDCDA-PLM, -DS", _collaborative(_all), True, True, True),
    Method("direct-neutral", "Direct-FT, neutral x", _direct_neutral, by_seed=True, tasks=_has_neutral),
    Method(
        "cdcda-neutral",
        "CDCDA-PLM, neutral x",
        _collaborative(_filtered, lambda target: target.neutral),
        True,
        True,
        True,
        tasks=_has_neutral,
    ),
)

ON_DEVICE = frozenset(method.name for method in METHODS if method.on_device)
"""Names of the methods that answer with the device model."""
LEARNING = frozenset(method.name for method in METHODS if method.on_device and method.by_seed)
"""Names of those among them that train an adapter."""


def choose_methods(names: str, task: Task, has_neutral: bool = True) -> tuple[Method, ...]:
    """The methods named, separated by commas; `all` are those that make sense for the task, `-NAME` takes one out.

    Raises BadInput.
    """
    sensible = [method for method in METHODS if method.tasks(task) and (has_neutral or "neutral" not in method.name)]
    known = {method.name: method for method in sensible}
    chosen: dict[str, Method] = {}
    for part in filter(None, (part.strip() for part in names.split(","))):
        name = part.removeprefix("-")
        if name != "all" and name not in known:
            raise BadInput(f"There is no method {name!r} for {task.lamp}; the methods are {', '.join(known)}, or all.")
        if part.startswith("-"):
            chosen.pop(name, None)
        else:
            chosen |= known if name == "all" else {name: known[name]}
    if not chosen:
        raise BadInput(f"No method is named; name some of {', '.join(known)}, or all.")
    return tuple(chosen.values())
