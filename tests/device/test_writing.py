"""Files that the system will not have: by the real thing where there is one, else by the number that it would give."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from app.device.writing import explain, replacing, settle, writing
from app.errors import DiskFull, NotWritten
from tests.limits import largest_file

TENSORS = {"x": np.zeros(5000)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A file that is there already."""
    path = tmp_path / "tensors"
    save_file({"x": np.ones(3)}, path)
    return path


def replace(path: Path) -> None:
    with replacing(path, "The checkpoint") as temporary:
        save_file(TENSORS, temporary)


def untouched(path: Path) -> bool:
    return os.listdir(path.parent) == [path.name] and np.array_equal(load_file(path)["x"], np.ones(3))


def test_what_is_written_takes_the_place_of_what_was_there(place: Path) -> None:
    replace(place)
    assert len(load_file(place)["x"]) == 5000
    assert os.listdir(place.parent) == [place.name]


def test_a_full_disk_is_a_sentence_and_what_was_there_stays(place: Path) -> None:
    def fill(temporary: Path) -> None:
        temporary.symlink_to("/dev/full")
        with temporary.open("wb", buffering=0) as file:
            file.write(b"x")

    says = r"The checkpoint cannot be written in .*No space left.*free some space"
    with pytest.raises(DiskFull, match=says), replacing(place, "The checkpoint") as temporary:
        fill(temporary)
    assert untouched(place)


def test_two_that_write_the_same_file_at_once_both_end_well(place: Path) -> None:
    with replacing(place, "The checkpoint") as ours, replacing(place, "The checkpoint") as theirs:
        save_file(TENSORS, theirs)
        save_file(TENSORS, ours)
    assert len(load_file(place)["x"]) == 5000
    assert os.listdir(place.parent) == [place.name]


KILLED = """
import os, signal, sys
from pathlib import Path
from app.device.writing import replacing

with replacing(Path(sys.argv[1]), "The checkpoint") as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_with_the_next_file_of_the_folder_and_what_another_still_writes_stays(
    place: Path,
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, place.with_name("another")], check=False)
    assert len(os.listdir(place.parent)) == 2
    mine = place.with_name("tensors.mine.part")
    mine.write_bytes(b"half")
    with replacing(place, "The checkpoint") as written:
        save_file(TENSORS, written)
        replace(place)
        assert sorted(place.parent.iterdir()) == sorted([place, mine, written])


def test_a_file_larger_than_files_may_be_is_a_sentence_about_that(place: Path) -> None:
    with largest_file(1000), pytest.raises(DiskFull, match=r"File too large.*ulimit -f"):
        replace(place)
    assert untouched(place)
    with (
        largest_file(1000),
        pytest.raises(DiskFull, match="ulimit -f"),
        replacing(place, "The manifest") as temporary,
    ):
        temporary.write_bytes(bytes(5000))
    assert untouched(place)


def test_a_folder_in_place_of_the_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tensors").mkdir()
    with pytest.raises(NotWritten, match=r"Is a directory.*no folder stands where a file should be"):
        replace(tmp_path / "tensors")
    assert os.listdir(tmp_path) == ["tensors"]


def test_a_file_in_place_of_the_folder_is_a_sentence(place: Path) -> None:
    with pytest.raises(NotWritten, match=r"Not a directory.*no file stands where a folder should be"):
        replace(place / "tensors")
    assert untouched(place)


FORBIDDEN = """
import os, sys
from pathlib import Path
from app.device.writing import replacing
from app.errors import NotWritten

os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    with replacing(Path("tensors"), "The checkpoint") as temporary:
        temporary.write_bytes(b"x")
except NotWritten as error:
    print(error)
"""


def test_a_folder_that_may_not_be_written_to_is_a_sentence(place: Path) -> None:
    place.parent.chmod(0o555)
    child = subprocess.run([sys.executable, "-c", FORBIDDEN, place.parent], capture_output=True, text=True, check=True)
    place.parent.chmod(0o755)
    assert child.stderr == ""
    assert child.stdout.startswith(f"The checkpoint cannot be written in {place.parent} (Permission denied); see that")
    assert untouched(place)


@pytest.mark.parametrize(
    ("number", "kind", "todo"),
    [
        (errno.ENOSPC, DiskFull, "free some space"),
        (errno.EDQUOT, DiskFull, "quota raised"),
        (errno.EIO, NotWritten, "which may be failing"),
        (errno.EROFS, NotWritten, "writable again"),
        (errno.EPERM, NotWritten, "may read and write"),
        (errno.ETXTBSY, NotWritten, "check the disk"),
    ],
)
def test_what_only_the_number_tells_is_said_in_words(
    place: Path, number: int, kind: type[Exception], todo: str
) -> None:
    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half of ")
        raise OSError(number, os.strerror(number), str(temporary))

    with pytest.raises(kind, match=todo) as caught, replacing(place, "The checkpoint") as temporary:
        fail(temporary)
    assert f"in {place.parent} ({os.strerror(number)});" in str(caught.value)
    assert untouched(place)


def test_an_error_of_another_file_names_it(tmp_path: Path) -> None:
    says = r"cannot be written in .* \(No such file or directory: /no/such\)"
    with pytest.raises(NotWritten, match=says), writing("The export", tmp_path):
        Path("/no/such").read_bytes()


def test_an_error_without_a_number_is_told_as_it_is(tmp_path: Path) -> None:
    assert "(half a tensor)" in str(explain("The model", tmp_path, OSError("half a\n tensor")))


def test_tensors_that_make_no_sense_are_no_matter_of_the_disk(place: Path) -> None:
    from safetensors import SafetensorError

    place.write_bytes(b"no tensors")
    with pytest.raises(SafetensorError), writing("The model", place.parent):
        load_file(place)


def test_another_process_that_was_first_is_no_error(tmp_path: Path) -> None:
    ours, theirs = tmp_path / ".ours", tmp_path / "model"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    settle(ours, theirs)
    assert (theirs / "config.json").is_file()
    with pytest.raises(FileNotFoundError):
        settle(tmp_path / "none", tmp_path / "other")
