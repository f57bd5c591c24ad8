"""`cdcda train --estimate`: what a training would take, and whether it fits; nothing is started."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.cli.printing import say, table
from app.wording import counted

if TYPE_CHECKING:
    from app.pipeline.jobs import TrainSettings
    from app.pipeline.workspace import Workspace

Result = Mapping[str, Any]


def estimate(workspace: "Workspace", settings: "TrainSettings", probe_first: bool) -> Result:
    """The forecast of a training, after a probe where one is wanted; raises AppErrors."""
    from app.pipeline import forecasting, probing

    probed = dataclasses.asdict(probing.probe(workspace, settings)) if probe_first else None
    found = forecasting.foresee(workspace, settings)
    memory = {
        "peak_mb": round(found.memory.peak_mb, 1),
        "parts": [dataclasses.asdict(part) for part in found.memory.parts],
    }
    words = [forecasting.in_words(found), forecasting.time_in_words(found), found.advice]
    return {**dataclasses.asdict(found), "memory": memory, "probe": probed, "words": list(filter(None, words))}


def warn(workspace: "Workspace", settings: "TrainSettings") -> None:
    """Say on standard error that a training about to be started does not fit; nothing where it does."""
    from app.pipeline import forecasting

    if sentence := forecasting.warning(workspace, settings):
        print(f"cdcda: {sentence}", file=sys.stderr)


def show_estimate(result: Result) -> None:
    """Print the forecast, for people."""
    cut = f", {result['cut']} of them cut to the longest that is learned" if result["cut"] else ""
    say(
        f"{counted(result['examples'], 'example')} of the task {result['task']}{cut}, {result['held_out']} held out,"
        f" on {result['model']}."
    )
    say(*result["words"])
    rows = [(part["name"], f"{part['megabytes']:,.0f} MB", part["reason"]) for part in result["memory"]["parts"]]
    table("At its peak", ("part", "memory", "what it is"), rows)
    if result["probe"]:
        say(f"The probe's own steps took {result['probe']['peak_memory_mb']:,.0f} MB at most.")
    elif result["seconds"] is None:
        say("Measure the time with `cdcda train --probe`; it takes about as long as loading the model.")
