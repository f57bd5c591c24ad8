"""A probe: the first steps of a training in a process of its own, to know how fast this computer trains a model.

`python -m app.pipeline.probing --data-dir DIR SETTINGS` is that process; it prints what it found as JSON. It loads the
model as a training does, so it takes about as long as one takes to its third step; whoever shows a page imports no
torch for it. The adapter that it began is thrown away.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.device import batching
from app.device.finetuning import fine_tune
from app.device.merging import prepare_on
from app.device.rendering import Example, render_example, template_hash
from app.device.tidying import make_temporary, remove_abandoned
from app.device.tokenising import open_tokeniser
from app.device.training import FineTuning, Outcome, Progress
from app.device.writing import writing
from app.errors import SHOWN, JobRefused
from app.pipeline import bases, jobs
from app.pipeline.dataset import TrainingText, gather
from app.pipeline.jobs import TrainSettings
from app.pipeline.local_service import child_environment
from app.pipeline.models import device_model
from app.pipeline.speeds import ANSWER_SECONDS, Speed, remember_probe
from app.pipeline.workspace import Workspace, open_workspace
from personal_store.nouns import ALIVE

STEPS = 3
"""The first is slower than the others and is not counted where there is another."""
LONGEST_SECONDS = 10.0
"""After the first step; a slow computer takes fewer steps."""
PATIENCE = 600.0
"""Seconds, unpacking a large model for the first time counted."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """What the first steps showed."""

    model: str
    tokens_per_second: float
    ready_seconds: float
    """From the process's start to its first step's end."""
    peak_memory_mb: float
    """The longest examples were among the steps, so a whole training will hardly take more."""


class _Clock:
    """Listens to the steps, and ends them after a few."""

    def __init__(self, plan: Sequence[Sequence[Example]]) -> None:
        self._plan = plan
        self._ends: list[float] = []
        self._rate = 0.0

    def listen(self, progress: Progress) -> None:
        """Note when a step ended."""
        self._ends.append(time.monotonic())
        self._rate = progress.tokens_per_second

    def should_stop(self) -> bool:
        """After three steps, or after ten seconds of them."""
        ends = self._ends
        return bool(ends) and (len(ends) >= STEPS or time.monotonic() - ends[0] > LONGEST_SECONDS)

    def tokens_per_second(self) -> float:
        """Of the steps after the first; of that one where there is no other."""
        counted = self._plan[1 : len(self._ends)]
        if not counted:
            return self._rate
        tokens = sum(batching.length(example) for batch in counted for example in batch)
        return tokens / (self._ends[-1] - self._ends[0])

    @property
    def first_end(self) -> float:
        """When the first step ended, on the monotonic clock."""
        return self._ends[0]


def _chosen(texts: Sequence[TrainingText], batch: int) -> list[TrainingText]:
    """A batch of the longest texts, which take most memory, and further ones from all over."""
    by_length = sorted(texts, key=lambda text: -len(text.input) - len(text.output))
    others = by_length[batch:]
    wanted = (STEPS - 1) * batch
    return [*by_length[:batch], *others[:: max(1, len(others) // wanted)][:wanted]]


def _take_steps(
    prepared: Path, examples: Sequence[Example], settings: FineTuning, cache: Path
) -> tuple[_Clock, Outcome]:
    clock = _Clock(batching.plan_epoch(examples, settings.batch, settings.seed, 1))
    with writing("The probe", cache):
        remove_abandoned(cache)
        folder = make_temporary(cache)
    try:
        outcome = fine_tune(prepared, examples, [], settings, folder, clock.listen, clock.should_stop)
    finally:
        # What the adapter began to learn is as private as the texts.
        shutil.rmtree(folder, ignore_errors=True)
    return clock, outcome


def _probe(workspace: Workspace, chosen: TrainSettings, started: float) -> Probe:
    """The work of the process."""
    data, model = gather(workspace, chosen.task, chosen.seed), device_model(workspace, chosen.model)
    settings = dataclasses.replace(chosen.resolved(), epochs=1)
    tokeniser = open_tokeniser(model)
    base = bases.base_for(workspace, data.task, model, template_hash(tokeniser), chosen.base)
    prepared = prepare_on(model, base, workspace.prepared, lambda _: None)
    texts = _chosen(data.texts, settings.batch)
    examples = [render_example(tokeniser, data.task, text.input, text.output, settings.max_tokens) for text in texts]
    clock, outcome = _take_steps(prepared, examples, settings, workspace.prepared)
    ready = clock.first_end - started
    speed = Speed(clock.tokens_per_second(), ready, ANSWER_SECONDS, "probe", time.time())
    remember_probe(workspace, model.name, settings, speed)
    return Probe(model.name, speed.tokens_per_second, ready, outcome.peak_memory_mb)


def _refuse_beside_others(workspace: Workspace) -> None:
    busy = next((job for job in jobs.listing(workspace) if job.state in ALIVE), None)
    if busy is not None:
        raise JobRefused(
            f"Job {busy.id} is at work, and beside it a probe would measure too little; wait until it is done, or start"
            " the training: its first steps say how long it takes."
        )


def _read(printed: str) -> Probe:
    """What the process said last; raises JobRefused with its sentence, or where it said nothing."""
    try:
        said = json.loads(printed.splitlines()[-1])
    except (ValueError, IndexError):
        said = {"error": "The probe ended without a result; look at `cdcda doctor`, or start the training at once."}
    if "error" in said:
        raise JobRefused(said["error"])
    return Probe(**said)


def probe(workspace: Workspace, chosen: TrainSettings) -> Probe:
    """Take the first steps of such a training in a process of its own, and remember how fast they were.

    Takes about 20 seconds for a small model, more where it is unpacked first. Raises JobRefused while a job is at
    work and where the steps could not be taken; NothingToTrain, BadInput, ModelMissing and ModelDamaged at once.
    """
    gather(workspace, chosen.task, chosen.seed)
    device_model(workspace, chosen.model)
    _refuse_beside_others(workspace)
    settings = json.dumps(dataclasses.asdict(chosen))
    command = [sys.executable, "-m", "app.pipeline.probing", "--data-dir", str(workspace.data_dir), settings]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE,
            env=child_environment(),
        )
    except subprocess.TimeoutExpired:
        raise JobRefused(
            f"The probe took no step in {PATIENCE / 60:.0f} minutes; choose a smaller model, or close other programs."
        ) from None
    return _read(done.stdout)


def main(arguments: list[str] | None = None) -> int:
    """Probe, and print what was found or the sentence that says why not."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", help="pipeline.jobs.TrainSettings as JSON")
    parser.add_argument("--data-dir", required=True)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        said = dataclasses.asdict(
            _probe(open_workspace(options.data_dir), TrainSettings(**json.loads(options.settings)), started)
        )
    except SHOWN as error:
        said = {"error": str(error)}
    print(json.dumps(said), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
