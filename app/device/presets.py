"""Named settings of a training: the one place where "quick", "paper" and "careful" get their values."""

import dataclasses
from collections.abc import Mapping

from app.device.training import FineTuning
from app.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Preset:
    """Settings under a name, and what they are for."""

    name: str
    explained: str
    """One sentence for people."""
    settings: FineTuning


DEFAULT = "paper"

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "One pass: about as good as three on top of a base; without one it may be too little.",
            FineTuning(epochs=1),
        ),
        Preset(
            DEFAULT,
            "Three passes, of which the best is kept; rank and alpha as in the CDCDA-PLM paper.",
            FineTuning(),
        ),
        Preset(
            "careful",
            "Up to ten small-step passes; ends once they no longer help.",
            FineTuning(epochs=10, learning_rate=3e-4, patience=2),
        ),
    )
}
"""From the fastest to the slowest. Rank 16, alpha 8 and NF4 are the paper's in all of them."""


def find_preset(name: str) -> Preset:
    """The preset of that name; raises BadInput where there is none."""
    if name not in PRESETS:
        raise BadInput(f"A preset is one of {', '.join(PRESETS)}, but {name!r} was asked for; choose one of them.")
    return PRESETS[name]
