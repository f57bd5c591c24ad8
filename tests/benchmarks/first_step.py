"""From pressing start to the first training step, with warm files; nothing is asserted.

    python -m tests.benchmarks.first_step [RUNS]

The sample history, the embedded model and the base that comes with it, through the job and its worker process, as a
person's training goes. The first run unpacks the model, which is kept, and is told apart.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from app.pipeline import importing, jobs
from app.pipeline.workspace import Workspace, open_workspace

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample" / "history.csv"
AT_MOST = 15.0
"""Seconds that warm files may take."""


def first_step(workspace: Workspace) -> float:
    """Seconds from the start of a job to the report of its first step; the job is stopped then."""
    began = time.perf_counter()
    job = jobs.start_train(workspace, jobs.TrainSettings(epochs=1))
    for event in jobs.follow(workspace, job.id):
        if event.kind == "progress":
            break
    taken = time.perf_counter() - began
    jobs.stop_job(workspace, job.id)
    for _ in jobs.follow(workspace, job.id):
        pass
    return taken


def main() -> None:
    """Print the first run, and least and median of the others."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(folder)
        importing.import_file(workspace, SAMPLE)
        cold = first_step(workspace)
        warm = [first_step(workspace) for _ in range(runs)]
    print(f"first run, the model is unpacked: {cold:.1f} s")
    print(f"warm files: least {min(warm):.1f} s, median {statistics.median(warm):.1f} s (goal {AT_MOST:.0f} s)")


if __name__ == "__main__":
    main()
