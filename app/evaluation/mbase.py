"""M_base: the device model after other people's answered questions, made once for a run and kept.

Nothing of a target may be in it; that is looked at once more right before it is trained. Without other people there is
no M_base, and the device model is taken as it came.
"""

import datetime
import dataclasses
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.device.adapters import MANIFEST, finish
from app.device.bases import LICENCE, BaseManifest, TaskBase, load_base
from app.device.finetuning import FineTuning, Progress, fine_tune
from app.device.gguf_adapter import layout_of
from app.device.merging import halve
from app.device.weights import prepare
from app.evaluation.desks import Desk
from app.evaluation.people import People, hash_of, require_no_target
from app.lamp import LampPair
