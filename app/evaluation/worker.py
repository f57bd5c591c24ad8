"""The process of a job that measures, or ends with a verdict: `python -m app.evaluation.worker JOB --data-dir DIR`."""

import functools
import sys

from app.evaluation import curve, verdict
from app.pipeline import finetune
from app.pipeline.worker import Bodies, main

BODIES: Bodies = {"curve": curve.run, "train": functools.partial(finetune.run, judge=verdict.judge)}

if __name__ == "__main__":
    sys.exit(main(bodies=BODIES))
