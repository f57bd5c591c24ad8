"""The pictures of the README, made anew from a real journey on the sample with the models that come along.

    python -m tests.pictures --data-dir DIR [--cloud-model FILE] [--out docs/pictures]

Augmenting and training take some minutes; a data folder that has an adapter already is only looked at. A larger model
for the service, a GGUF file, writes pairs that are worth a picture.
"""

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.browsing import MINUTE, Visit, chromium, new_visit

READY = "CDCDA is ready at "
SHARED, PAIRS_EACH = 4, 3
COLOURS = 128
"""Of a picture's palette; the page has few."""
WIDE, HIGH = 1280, 860
ANSWERED = "() => [...document.querySelectorAll('#votes button')].some((node) => node.offsetParent && !node.disabled)"


@contextlib.contextmanager
def running(data_dir: Path, cloud_model: Path | None) -> Iterator[str]:
    """The app on that folder; its address."""
    command = [sys.executable, "-m", "app", "--port", "0", "--data-dir", str(data_dir), "--no-browser"]
    command += ["--cloud-model", str(cloud_model)] if cloud_model else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(line for line in process.stdout if line.startswith(READY)).removeprefix(READY).strip()
        finally:
            process.terminate()


def _waits(client: Any) -> None:
    """Until no job runs."""
    idle = False
    while not idle:
        time.sleep(3)
        state = client.predict(api_name="/state")
        idle = any(fact["value"] == "Nothing is running" for fact in state[0]["facts"])


def journey(address: str) -> None:
    """From the sample to an adapter; nothing where there is one."""
    from gradio_client import Client

    client = Client(address, verbose=False)
    if client.predict(None, api_name="/use_adapter")["rows"]:
        return
    client.predict(api_name="/import_sample")
    client.predict(SHARED / 120, "newest", 0, "", api_name="/propose")
    rows = client.predict("", "", "newest", "shared", 1, api_name="/page_of_records")["rows"]
    client.predict([row["id"] for row in rows[SHARED:]], False, api_name="/share_records")
    _, approval = client.predict(PAIRS_EACH, "", api_name="/preview_payload")
    client.predict(approval, PAIRS_EACH, "", api_name="/approve")
    _waits(client)
    client.predict(*client.predict("paper", api_name="/preset"), 0, "paper", api_name="/train")
    _waits(client)


def switch_on(address: str) -> None:
    """The newest adapter."""
    from gradio_client import Client

    client = Client(address, verbose=False)
    newest = client.predict(None, api_name="/use_adapter")["rows"][0]
    client.predict(newest["id"], api_name="/use_adapter")


def take(visit: Visit, out: Path, name: str) -> None:
    """What the window shows, as a PNG of few colours."""
    from PIL import Image

    visit.page.mouse.move(2, HIGH - 2)
    visit.page.wait_for_timeout(600)
    path = out / f"{name}.png"
    visit.page.screenshot(path=path)
    with Image.open(path) as shown:
        shown.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def review(visit: Visit) -> None:
    """Pairs with scores, verdicts and histograms."""
    visit.open("Review")
    visit.page.locator("#review-cards .card").first.wait_for()
    visit.page.evaluate("window.scrollTo(0, 0)")


def write(visit: Visit) -> None:
    """Both answers to a text that nobody learned from."""
    visit.open("Write")
    visit.page.locator("#samples button").first.click()
    # The first answer waits for the model to be loaded; the second one is as fast as it is.
    for _ in range(2):
        visit.page.locator("#write-button").click()
        visit.page.wait_for_timeout(1500)
        visit.page.wait_for_function(ANSWERED, timeout=3 * MINUTE)
    visit.page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")


def pictures(address: str, out: Path) -> None:
    """All of them."""
    with chromium() as browser:
        for name, scheme, show in (("review", "light", review), ("write", "dark", write)):
            visit = new_visit(browser, out, scheme=scheme, width=WIDE, height=HIGH)
            visit.goto(address)
            show(visit)
            take(visit, out, name)
            visit.page.context.close()


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--cloud-model", type=Path, help="a GGUF file")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    with running(options.data_dir, options.cloud_model) as address:
        journey(address)
        switch_on(address)
        pictures(address, options.out)


if __name__ == "__main__":
    main()
