"""Making a base from public data, on a tiny model: what it learns from, stopping and resuming, and bad data."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.device.bases import load_base
from app.device.catalogue import find_model
from app.device.training import FineTuning, Progress
from app.errors import BadInput, FileNotUsable, JobRefused
from app.tasks import find_task
from cloud_stub import __main__ as program
from cloud_stub.pretraining.command import parse_options, recipe_of
from cloud_stub.pretraining.data import gather
from cloud_stub.pretraining.recipe import About, Recipe, Stopped, make_base
from cloud_stub.pretraining.scores import METRICS
from tests.cloud_stub.public_data import public_folder
from tests.tiny import tiny_folder, tiny_gguf

TITLE = find_task("LaMP_5")


class Quiet:
    """Hears how far it is, and counts."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[int] = []
        self.scored: list[int] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def train(self, progress: Progress) -> None:
        self.steps.append(progress.step)

    def score(self, done: int, total: int) -> None:
        self.scored.append(done)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe(folder: Path, model: Path, epochs: int = 2, questions: int = 1) -> Recipe:
    return Recipe(
        TITLE,
        public_folder(folder),
        find_model(str(model), folder),
        "titles",
        folder / "bases",
        folder / "cache",
        FineTuning(rank=4, epochs=epochs, max_tokens=256, learning_rate=5e-3),
        About("Titles", "made-up papers", "CC0", "nobody"),
        questions,
    )


def never() -> bool:
    return False


def test_data_is_split_by_people_and_what_the_asked_wrote_is_left_out(tmp_path: Path) -> None:
    folder = public_folder(tmp_path, people=10, asked=3)
    questions = json.loads((folder / "dev_questions.json").read_text())
    shared = json.loads((folder / "train_questions.json").read_text())[2]["profile"][0]
    questions[0]["profile"].append(shared)
    (folder / "dev_questions.json").write_text(json.dumps(questions))
    data = gather(TITLE, folder, seed=1)
    assert (data.users, data.held_out_users, len(data.held_out)) == (9, 1, 3)
    everything = {pair.input for pair in (*data.texts, *data.held_out)}
    assert data.left_out + len(data.texts) == 27
    assert not {shared["abstract"]} & {pair.input for pair in data.texts}
    assert not {pair.input for pair in data.held_out} & {pair.input for pair in data.texts}
    assert not {pair.input for pair in data.asked} & everything
    assert len(data.asked) == 3
    assert gather(TITLE, folder, seed=1) == data != gather(TITLE, folder, seed=2)


def test_few_people_are_all_learned_from_and_nobody_need_be_asked(tmp_path: Path) -> None:
    data = gather(TITLE, public_folder(tmp_path, people=3, asked=0), seed=0)
    assert (data.users, len(data.texts), data.held_out, data.asked) == (3, 9, (), ())


@pytest.mark.parametrize("make", [tiny_gguf, tiny_folder])
def test_a_base_is_made_whole_with_its_story(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    listener = Quiet()
    base = make_base(recipe(tmp_path, make(tmp_path)), listener, never)
    told = base.manifest
    assert [path.name for path in (tmp_path / "bases").iterdir()] == ["titles"]
    assert set(told.files) == {"adapter_config.json", "adapter_model.safetensors", "LICENCE.txt"}
    assert (told.task, told.users, told.examples, told.held_out_users) == ("title", 7, 21, 1)
    assert (told.licence, told.attribution, told.data) == ("CC0", "nobody", "made-up papers")
    assert told.held_out_loss is not None
    assert told.untrained_held_out_loss is not None
    assert told.held_out_loss < told.untrained_held_out_loss
    assert told.scores["questions"] == 1
    assert set(told.scores["rouge_1"]) == {"untrained", "trained"}
    assert "Licence of the data: CC0" in (base.folder / "LICENCE.txt").read_text()
    assert "7 people" in listener.said[0]
    assert (listener.steps[-1], listener.scored) == (12, [1])
    assert str(tmp_path) not in (base.folder / "manifest.json").read_text()
    with pytest.raises(BadInput, match="already"):
        make_base(recipe(tmp_path, make(tmp_path)), listener, never)


@pytest.mark.slow
def test_a_stopped_one_goes_on_to_the_same_base(tmp_path: Path) -> None:
    model = tiny_gguf(tmp_path)
    whole = make_base(recipe(tmp_path, model), Quiet(), never).folder.rename(tmp_path / "whole")
    heard = Quiet()
    with pytest.raises(Stopped):
        make_base(recipe(tmp_path, model), heard, lambda: len(heard.steps) == 5)
    assert [path.name for path in (tmp_path / "bases").iterdir()] == [".titles.unfinished"]
    with pytest.raises(JobRefused, match="start the training anew"):
        make_base(recipe(tmp_path, model, epochs=1), Quiet(), never)
    # Stopped once more, when it had come to the questions.
    with pytest.raises(Stopped):
        make_base(recipe(tmp_path, model), heard, lambda: bool(heard.scored))
    resumed = make_base(recipe(tmp_path, model), heard, never)
    assert heard.steps == list(range(1, 13))
    for name in load_base(whole).manifest.files:
        assert (resumed.folder / name).read_bytes() == (whole / name).read_bytes()


def test_bad_data_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotUsable, match="There is no folder"):
        gather(TITLE, tmp_path / "none", 0)
    with pytest.raises(FileNotUsable, match=r"train_questions\.json"):
        gather(TITLE, tmp_path, 0)
    folder = public_folder(tmp_path)
    with pytest.raises(FileNotUsable, match="belongs to the task"):
        gather(find_task("LaMP_2"), folder, 0)
    with pytest.raises(BadInput, match="none of LaMP's"):
        gather(find_task("chat"), folder, 0)
    for part in ("questions", "outputs"):
        (folder / f"dev_{part}.json").write_text((folder / f"train_{part}.json").read_text())
    with pytest.raises(FileNotUsable, match="nobody who is asked"):
        gather(TITLE, folder, 0)


def test_tweets_are_learned_from_their_neutral_texts_alone(tmp_path: Path) -> None:
    items = [{"id": "1", "text": "w00t", "neutral": "I am glad."}, {"id": "2", "text": "bare"}]
    asked = {"id": "q", "user_id": "1", "input": "Paraphrase the following tweet without any explanation before or"}
    asked["input"] += " after it: It is late."
    (tmp_path / "train_questions.json").write_text(json.dumps([{**asked, "profile": items}]))
    (tmp_path / "train_outputs.json").write_text(json.dumps({"golds": [{"id": "q", "output": "late!!"}]}))
    data = gather(find_task("LaMP_7"), tmp_path, 0)
    assert [(pair.input, pair.output) for pair in data.texts] == [("I am glad.", "w00t"), ("It is late.", "late!!")]


def one_person(folder: Path, prompt: str, answer: str, item: dict[str, str]) -> Path:
    asked = {"id": "q", "user_id": "1", "input": prompt, "profile": [item]}
    (folder / "train_questions.json").write_text(json.dumps([asked]))
    (folder / "train_outputs.json").write_text(json.dumps({"golds": [{"id": "q", "output": answer}]}))
    return folder


def test_as_asked_it_learns_under_the_instruction_of_the_questions(tmp_path: Path) -> None:
    instruction = "Which tag does this movie relate to among the following tags? tags: [sad, funny] description: "
    one_person(tmp_path, f"{instruction}A boat sinks.", "sad", {"description": "A duck sings.", "tag": "funny"})
    task = find_task("LaMP_2")
    assert {text.task for text in gather(task, tmp_path, 0).texts} == {task}
    texts = gather(task, tmp_path, 0, as_asked=True).texts
    assert [text.task.prompt(text.input) for text in texts] == [
        f"{instruction}A duck sings.",
        f"{instruction}A boat sinks.",
    ]


def test_a_title_of_citations_is_learned_as_a_title(tmp_path: Path) -> None:
    one_person(
        tmp_path, "For an author who has written the paper, ...", "[1]", {"abstract": "We sail.", "title": "Sails"}
    )
    title, citation = gather(find_task("LaMP_1"), tmp_path, 0).texts
    assert (title.task, title.output) == (find_task("LaMP_5"), "Sails")
    assert (citation.task, citation.output) == (find_task("LaMP_1"), "[1]")


def test_metrics_by_task() -> None:
    assert METRICS["rouge"]([("the red door", "the red house"), ("a", "b")]) == {
        "rouge_1": pytest.approx(1 / 3),
        "rouge_l": pytest.approx(1 / 3),
    }
    assert METRICS["rouge"]([("красная дверь", "красная дверь")]) == {"rouge_1": 1.0, "rouge_l": 1.0}
    assert METRICS["accuracy"]([("Classic", "classic "), ("sci-fi", "comedy")]) == {"accuracy": 0.5}
    assert METRICS["mae"]([("5", "4"), ("1", "a lot"), ("3", "77"), ("2", "2.0")]) == {"mae": (1 + 4 + 4 + 0) / 4}


def test_the_command_line_becomes_a_recipe(tmp_path: Path) -> None:
    given = ["--task", "LaMP_5", "--data", str(tmp_path), "--model", str(tiny_gguf(tmp_path)), "--rank", "4"]
    made = recipe_of(parse_options([*given, "--licence", "CC0", "--score", "7", "--as-asked"]))
    assert (made.name, made.settings.rank, made.settings.epochs, made.questions) == ("title", 4, 2, 7)
    assert (made.about.licence, made.about.attribution) == ("CC0", "not stated")
    assert made.as_asked
    assert not recipe_of(parse_options(given)).as_asked


@pytest.mark.parametrize(
    ("wrong", "code", "sentence"),
    [
        (["--task", "LaMP_6"], 2, "There is no task"),
        (["--data", "/nowhere"], 1, "There is no folder"),
        (["--model", "nothing"], 1, "There is no model"),
        (["--name", "Up/../"], 2, "choose another name"),
        (["--score", "-1"], 2, "--score"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], code: int, sentence: str
) -> None:
    before = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    usual = ["--task", "LaMP_5", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert program.main(["pretrain", *usual, *wrong]) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    for kind, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(kind, handler)


@pytest.mark.slow
def test_the_program_makes_a_base_and_ctrl_c_stops_it_with_its_work_kept(tmp_path: Path) -> None:
    model, folder = tiny_gguf(tmp_path), public_folder(tmp_path)
    command = [sys.executable, "-m", "cloud_stub", "pretrain", "--task", "LaMP_5", "--data", str(folder), "--model"]
    command += [str(model), "--name", "titles", "--out", str(tmp_path / "bases"), "--cache", str(tmp_path / "cache")]
    command += ["--max-tokens", "256", "--score", "1", "--epochs", "300"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with process:
        assert process.stderr is not None
        while "step" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "goes on where it was" in said
    assert [path.name for path in (tmp_path / "bases").iterdir()] == [".titles.unfinished"]
    assert (tmp_path / "bases" / ".titles.unfinished" / "checkpoint.safetensors").is_file()
