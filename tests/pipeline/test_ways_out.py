"""The list of everything that uses the network is the whole list."""

import re
from pathlib import Path

from app.pipeline.ways_out import WAYS_OUT

ROOT = Path(__file__).resolve().parents[2]
REACHES_OUT = re.compile(
    r"network\.connection\(|\bconnection\(\n|urllib\.request|\bsocket\.|\"pip\"|server_name=|http\.client"
)
"""What a module does that uses the network. (The service of this package only listens on the loopback interface.)"""


def modules() -> set[str]:
    """Modules of the app that use the network."""
    found = set()
    for path in (ROOT / "app").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name != "app.pipeline.network" and REACHES_OUT.search(path.read_text(encoding="utf-8")):
            found.add(name)
    return found


def test_every_module_that_uses_the_network_is_on_the_list() -> None:
    assert modules() == {module for way in WAYS_OUT for module in way.modules}


def test_the_privacy_page_lists_every_way_out() -> None:
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8").lower()
    for way in WAYS_OUT:
        assert f"| {way.what.lower()} |" in page
