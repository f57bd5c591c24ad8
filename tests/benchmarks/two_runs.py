"""A method in one run less a method in another, on the people whom both asked; nothing is asserted.

python -m tests.benchmarks.two_runs OUT OTHER --method direct [--other-method device]

`cdcda lamp table` compares the methods of one run; this compares settings that are one to a run, like the epochs. It
prints both scores by each metric, their difference with its paired bootstrap interval over users, and how many answers
of each say a word four times on end.
"""

import argparse
from pathlib import Path

from app.evaluation import bootstrap
from app.evaluation.measured import measure_run
from app.evaluation.plans import results
from app.evaluation.tables import Scores

ON_END = 4


def is_loop(answer: str) -> bool:
    """Whether a word is said four times on end."""
    words = answer.split()
    return any(len(set(words[start : start + ON_END])) == 1 for start in range(len(words) - ON_END + 1))


def loops(out: Path, method: str) -> int:
    """Answers of that method that loop."""
    of_method = [result for result in results(out) if result["unit"]["method"] == method]
    return sum(is_loop(answer["answer"]) for result in of_method for answer in result["answers"])


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--method", default="direct")
    parser.add_argument("--other-method")
    options = parser.parse_args()
    methods = (options.method, options.other_method or options.method)
    sides = [Scores(measure_run(out, bert=False)) for out in (options.out, options.other)]
    settings = [(scores, scores.main_setting(method)) for scores, method in zip(sides, methods, strict=True)]
    asked = [(scores, setting) for scores, setting in settings if setting]
    if len(asked) < len(settings):
        parser.error(f"{' or '.join(sorted(set(methods)))} was not run in one of these folders")
    users = sorted(set.intersection(*({*scores.by_setting[setting]} for scores, setting in asked)))
    print(f"{len(users)} people")
    for metric in sides[0].metrics:
        sums, others = (scores.sums(setting, metric, users) for scores, setting in asked)
        found = bootstrap.compare(sums, others, metric.finish)
        one, other = (bootstrap.estimate(side, metric.finish).value for side in (sums, others))
        print(f"{metric.title}: {one:.3f} less {other:.3f} is {found.value:+.3f} [{found.low:.3f}, {found.high:.3f}]")
    said = [loops(out, method) for out, method in zip((options.out, options.other), methods, strict=True)]
    print(f"answers that say a word {ON_END} times on end: {said[0]} and {said[1]}")


if __name__ == "__main__":
    main()
