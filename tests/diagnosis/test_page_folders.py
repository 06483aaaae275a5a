"""A page leaves no folder of files: the next start removes what a killed one left, and nothing else."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from bus_lightning.diagnosis.page.folders import private_folder

# Opens a folder, puts a file into it, says where, and waits until it is killed or its input ends.
PAGE = """
import sys
from bus_lightning.diagnosis.page.folders import private_folder
with private_folder() as folder:
    (folder / "patient").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def start(place):
    """A function that starts another page; it returns the process and its folder."""
    started = []

    def begin():
        process = subprocess.Popen(
            [sys.executable, "-c", PAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(place)},
        )  # fmt: skip
        started.append(process)
        return process, place / process.stdout.readline().strip()

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_the_next_start_removes_what_a_killed_page_left_and_nothing_of_a_living_one(place, start):
    (killed, left), (_, living) = start(), start()
    assert (left / "patient").exists()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (left / "patient").exists()
    with private_folder() as own:
        assert not left.exists()
        assert (living / "patient").exists()
        with private_folder() as other:  # of the same process
            assert own.exists()
            assert other != own
    assert [path for path in place.iterdir() if path != living] == []


def test_only_folders_of_dead_pages_of_this_user_are_removed(place):
    kept = ["bus_lightning-page-abcdefgh", "another", "bus_lightning-page-1-file"]  # the first is of an earlier version
    for name in kept[:2]:
        (place / name).mkdir()
    (place / kept[2]).write_text("x")
    (place / "bus_lightning-page-1-link").symlink_to(place / "another")
    (place / "bus_lightning-page-1-dead" / "inside").mkdir(parents=True)
    (place / "bus_lightning-page-1-dead" / "link").symlink_to(place / "another")
    with private_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in place.iterdir()) == sorted([*kept, "bus_lightning-page-1-link"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make a file of another user")
def test_the_folder_of_another_user_is_not_touched(place):
    other = place / "bus_lightning-page-1-other"
    other.mkdir()
    os.chown(other, 12345, 12345)
    with private_folder():
        assert other.exists()
