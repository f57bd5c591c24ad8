"""The process of a job that measures: `python -m app.evaluation.worker JOB --data-dir DIR`."""

import sys

from app.evaluation import curve
from app.pipeline.worker import Bodies, main

BODIES: Bodies = {"curve": curve.run}

if __name__ == "__main__":
    sys.exit(main(bodies=BODIES))
