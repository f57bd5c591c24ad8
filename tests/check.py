"""The one check: format, lint, types, import contracts, tests. Continuous integration runs this and nothing else.

python tests/check.py            everything, the slow real tests too
python tests/check.py --quick    without the slow ones, a few minutes
"""

import argparse
import os
import pathlib
import subprocess
import sys
import sysconfig
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = pathlib.Path(sysconfig.get_path("scripts"))

STATIC = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("lint-imports",),
    ("mypy",),
)


def run(command: tuple[str, ...]) -> bool:
    """Run one tool of this environment in the project's root; true when it found nothing."""
    started = time.monotonic()
    print(f"--- {' '.join(command)}", flush=True)
    code = subprocess.run(
        [TOOLS / command[0], *command[1:]], cwd=ROOT, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    ).returncode
    print(f"--- exit {code} after {time.monotonic() - started:.0f} s", flush=True)
    return code == 0


def main() -> int:
    """Run every check, the tests last so that their summary is the closing line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave the slow tests out")
    options = parser.parse_args()
    clean = min([run(command) for command in STATIC])
    tests: list[str | pathlib.Path] = [
        TOOLS / "python",
        "-m",
        "pytest",
        "--numprocesses=2",
        "--dist=loadgroup",
        *([] if options.quick else ["-m", "slow or not slow", "--durations=15"]),
    ]
    passed = subprocess.run(tests, cwd=ROOT, env=os.environ | {"HF_HUB_OFFLINE": "1"}).returncode == 0
    if not clean:
        print("Format, lint, types or import contracts are not clean; see above.", file=sys.stderr)
    return 0 if clean and passed else 1


if __name__ == "__main__":
    sys.exit(main())
