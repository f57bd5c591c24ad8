"""The page in Chromium on a long history: how long each step takes, and whether an hour of polling adds memory.

    python -m tests.benchmarks.page_speed [--records 100000] [--ticks 3600]

A step is timed in the page, from the click or key to the frame after the list has changed. Polling runs twenty times
as fast as for a person, so that an hour's 3,600 looks at the state pass in minutes; memory is read after a collection.
"""

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.pipeline.importing import import_file
from app.pipeline.local_service import CloudAddress
from app.pipeline.workspace import open_workspace
from tests.benchmarks.store import write_history
from tests.browsing import chromium, new_visit

RUNS = 9
LIMIT_MS = 150.0
FAST = 0.05
"""Seconds between two looks at the state, in place of one."""
READY = "ready at "

TIMED = """([act, list]) => new Promise((resolve) => {
    const node = document.querySelector(list), before = performance.now();
    const seen = new MutationObserver(() => requestAnimationFrame(() => {
        seen.disconnect();
        resolve(performance.now() - before);
    }));
    seen.observe(node, { subtree: true, childList: true, characterData: true, attributes: true });
    Function(act)();
})"""
"""Milliseconds from an act to the frame after the list changed."""

TICK = """([number]) => new Promise((resolve) => {
    const row = document.querySelectorAll('#share-records li')[number], before = performance.now();
    const seen = new MutationObserver(() => {
        if (!row.classList.contains('is-busy')) { seen.disconnect(); resolve(performance.now() - before); }
    });
    row.querySelector('input').click();
    seen.observe(row, { attributes: true });
})"""
"""Milliseconds from a click on a box to the store's answer; the box itself turns at once."""

SCROLL = """() => new Promise((resolve) => {
    const gaps = [];
    let last = performance.now(), frames = 0;
    const step = (now) => {
        gaps.push(now - last);
        last = now;
        window.scrollBy(0, 120);
        if (++frames < 60) requestAnimationFrame(step); else resolve(Math.max(...gaps.slice(1)));
    };
    requestAnimationFrame(step);
})"""
"""The longest frame of sixty while scrolling."""


def serve(folder: str, every: float) -> None:
    """Show the page on that data until the process is ended."""
    from app.pipeline.generation import Writer
    from app.ui import page
    from app.ui.services import Services

    page.EVERY = every
    workspace = open_workspace(folder)
    nowhere = CloudAddress("http://127.0.0.1:9", "token", local=True)
    blocks = page.build_ui(Services(workspace, nowhere, Writer(workspace)))
    _, address, _ = blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, **page.launch_options())
    gc.freeze()
    print(f"{READY}{address}", flush=True)
    blocks.block_thread()


def running(folder: Path, every: float) -> Iterator[tuple[str, int]]:
    """A page as a process: its address and its process id."""
    command = [sys.executable, "-m", "tests.benchmarks.page_speed", "--serve", str(folder), "--every", str(every)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith(READY))
        try:
            yield line.removeprefix(READY).strip(), process.pid
        finally:
            process.kill()


def _typed(text: str) -> str:
    return (
        "const field = document.querySelector('#way textarea[placeholder=\"Words in your records\"]');"
        f"field.value = '{text}'; field.dispatchEvent(new Event('input', {{ bubbles: true }}));"
    )


def steps(visit: Any) -> dict[str, list[float]]:
    """Milliseconds of each kind of step."""
    page, times = visit.page, {}
    next_page = "document.querySelector('#history-records .pager button:last-child').click()"
    history = "#history-records .records"
    times["next page"] = [page.evaluate(TIMED, [next_page, history]) for _ in range(RUNS)]
    times["search"] = []
    for number in range(RUNS):
        times["search"].append(page.evaluate(TIMED, [_typed(f"w{number * 7 + 3}"), history]))
        page.wait_for_timeout(400)
    times["scroll, longest frame"] = [page.evaluate(SCROLL) for _ in range(3)]
    visit.open("Share")
    page.locator("#share-records li").first.wait_for()
    times["tick a box"] = [page.evaluate(TICK, [number]) for number in range(RUNS)]
    return times


def print_steps(times: dict[str, list[float]]) -> bool:
    """The table; whether every median is within the limit."""
    print("| step | median | longest |\n|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.0f} ms | {max(values):.0f} ms |")
    return all(statistics.median(values) <= LIMIT_MS for values in times.values())


def resident_mb(process_id: int) -> float:
    """Memory of a process, in MB."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def poll(visit: Any, process_id: int, ticks: int) -> None:
    """Let the page poll so many times, and print the memory of page and server on the way."""
    asked = [0]
    visit.page.on("request", lambda request: asked.__setitem__(0, asked[0] + ("/queue/join" in request.url)))
    session = visit.page.context.new_cdp_session(visit.page)
    print("\n| looks at the state | page | server |\n|---|---|---|")
    for goal in range(0, ticks + 1, max(1, ticks // 6)):
        while asked[0] < goal:
            visit.page.wait_for_timeout(250)
        session.send("HeapProfiler.collectGarbage")
        heap = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
        print(f"| {asked[0]} | {heap:.1f} MB | {resident_mb(process_id):.0f} MB |", flush=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--ticks", type=int, default=3600)
    parser.add_argument("--serve", metavar="DIR", help="only show the page on that data")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks at the state")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.every)
        return 0
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        write_history(folder / "history.csv", options.records)
        began = time.monotonic()
        import_file(open_workspace(folder / "data"), folder / "history.csv")
        print(f"{options.records} records imported in {time.monotonic() - began:.0f} s\n", flush=True)
        for address, _ in running(folder / "data", 1.0):
            visit = new_visit(browser, folder)
            visit.goto(address)
            visit.page.locator("#history-records li").first.wait_for()
            within = print_steps(steps(visit))
        for address, process_id in running(folder / "data", FAST):
            visit = new_visit(browser, folder)
            visit.goto(address)
            poll(visit, process_id, options.ticks)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
