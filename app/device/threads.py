"""How threads that compute wait for each other: they spin for some microseconds and then sleep.

OpenMP's own long spinning takes the cores from other programs; no spinning makes llama.cpp three times slower.
"""

import os

_SETTINGS = {"GOMP_SPINCOUNT": "3000"}
_OWN_WORD = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""Who has set one of these has chosen already."""


def environment() -> dict[str, str]:
    """What is to be added to the environment of a process that computes; nothing where the person has chosen."""
    return {} if any(name in os.environ for name in _OWN_WORD) else dict(_SETTINGS)


def share_cores() -> None:
    """Set it for this process; only of use before a library with OpenMP is loaded, which reads it once."""
    os.environ.update(environment())
