import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from app.device import weights
from app.device.tidying import USED, make_temporary, prepared_folders, remove_abandoned, tidy
from tests.device.test_weights import gguf_model


def folder(cache: Path, name: str, days: float) -> Path:
    """A prepared folder that was used so many days ago."""
    made = cache / name
    made.mkdir(parents=True)
    (made / "config.json").write_text("{}")
    os.utime(made, (time.time() - days * 86400,) * 2)
    return made


def names(cache: Path) -> list[str]:
    return [one.name for one in prepared_folders(cache)]


def test_what_a_killed_process_left_goes_and_what_a_living_one_makes_stays(tmp_path: Path) -> None:
    script = "import os, signal, sys; from pathlib import Path; from app.device.tidying import make_temporary\n"
    script += "print(make_temporary(Path(sys.argv[1])), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    child = subprocess.run([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True, check=False)
    assert child.returncode == -signal.SIGKILL
    assert Path(child.stdout.strip()).is_dir()
    ours, old, unknown = make_temporary(tmp_path), make_temporary(tmp_path), tmp_path / ".preparing-abc"
    unknown.mkdir()
    os.utime(old, (time.time() - 7 * 3600,) * 2)
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([ours, unknown])


def test_those_used_longest_ago_go_and_the_others_stay(tmp_path: Path) -> None:
    for days in (5, 2, 9, 3):
        folder(tmp_path, f"used-{days}", days)
    (tmp_path / "base-of-titles").mkdir()
    tidy(tmp_path, kept=2)
    assert names(tmp_path) == ["used-2", "used-3"]
    assert (tmp_path / "base-of-titles").is_dir()
    assert len(list(tmp_path.iterdir())) == 3


def test_what_may_be_in_use_stays_however_many_there_are(tmp_path: Path) -> None:
    for number in range(6):
        folder(tmp_path, f"young-{number}", 0.5)
    tidy(tmp_path, kept=1)
    assert len(names(tmp_path)) == 6


def test_preparing_uses_a_folder_and_makes_room(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    old = [folder(cache, f"old-{days}", days) for days in (2, 3, 4, 5, 6)]
    prepared = weights.prepare(gguf_model(tmp_path, "llama"), cache, lambda _: None)
    assert [one.is_dir() for one in old] == [True, True, True, True, False]
    os.utime(prepared, (time.time() - 2 * USED,) * 2)
    assert weights.prepare(gguf_model(tmp_path, "llama"), cache, lambda _: None) == prepared
    assert names(cache)[0] == prepared.name
