"""The memory of a command and of all processes that it has started, on Linux."""

from contextlib import suppress
from pathlib import Path

KB_IN_MB = 1024 / 1e6  # a kilobyte of Linux has 1,024 bytes, and a megabyte here a million
_PARENT, _SESSION = 1, 3  # places in /proc/PID/stat, counted behind the name


def processes_of(head: int) -> set[int]:
    """Find a process, all that it has started, and all of its session, by their ids.

    The decoder of `predict` and of the page is in a session of its own, and a process whose parent has ended is below
    nobody any more: so neither the tree nor the session is enough.
    """
    parents, found = dict[int, int](), {head}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):  # it may have ended by now
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(words[_PARENT])
            if int(words[_SESSION]) == head:
                found.add(int(folder.name))
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def memory_mb(head: int) -> tuple[float, float]:
    """Measure the processes of a command: their memory together now, and the largest peak of one, in MB.

    Shared pages are divided among those that share them (`Pss` of `/proc/PID/smaps_rollup`).
    """
    together, alone = 0, 0
    for process in processes_of(head):
        with suppress(OSError, IndexError, ValueError):
            folder = Path(f"/proc/{process}")
            rollup, status = (folder / "smaps_rollup").read_text(), (folder / "status").read_text()
            together += int(rollup.partition("\nPss:")[2].split()[0])
            alone = max(alone, int(status.partition("VmHWM:")[2].split()[0]))
    return together * KB_IN_MB, alone * KB_IN_MB
