"""Lets `python -m app.cli` stand for `cdcda`."""

import sys

from app.cli import main

sys.exit(main())
