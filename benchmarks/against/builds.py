"""The two builds that are compared, each in a git worktree that goes away afterwards."""

import compileall
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.processes import MeasurementError, run

FIRST = "13c8287"  # what is compared with as long as there is no tag: the build before the first work on waiting times
_CODE = ("bus_lightning", "conf", "sweeps", "pyproject.toml", "train.py", "evaluate.py")
_ASK = "import bus_lightning; print(bus_lightning.__file__)"


@dataclass(frozen=True)
class Reference:
    """The commit to compare with.

    Attributes:
        name: The tag, branch or commit that was asked for.
        commit: Its full hash.
    """

    name: str
    commit: str


def find_reference(project: Path, name: str | None = None) -> Reference:
    """Find the commit to compare with.

    Args:
        project: The checkout.
        name: A tag, a branch or a commit; None takes the newest tag before the checked-out commit, or `FIRST`.

    Raises:
        MeasurementError: In one line, if there is no git, no git checkout or no such commit.
    """
    if shutil.which("git") is None:
        raise MeasurementError("git is not installed, and without it there is no earlier build to compare with")
    if _git(project, "rev-parse", "--show-cdup") != "":  # not empty in a folder below the top of a checkout
        raise MeasurementError(f"{project} is no git checkout: clone the repository to compare with an earlier build")
    name = name or _git(project, "describe", "--tags", "--abbrev=0", "HEAD^") or FIRST
    if commit := _git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"):
        return Reference(name, commit)
    if _git(project, "rev-parse", "--is-shallow-repository") == "true":
        raise MeasurementError(f"this clone is shallow and lacks {name}: get the history with git fetch --unshallow")
    raise MeasurementError(f"there is no tag, branch or commit {name}: git tag and git log list them")


@contextmanager
def two_builds(project: Path, reference: Reference, folder: Path) -> Iterator[dict[str, Path]]:
    """Check out the reference and copy the working tree, compile both, and remove them in the end, whatever happens.

    Both are worktrees of the same kind, so that only the code differs; and edits made meanwhile are not measured.

    Args:
        project: The checkout.
        reference: The old build.
        folder: Where they go; what an interrupted benchmark has left there is removed first.

    Yields:
        The tops of the builds, named `old` and `new`.

    Raises:
        MeasurementError: If another benchmark uses the folder, git fails, or PYTHONPATH does not choose the build.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        raise MeasurementError("another benchmark compares builds in this checkout: wait until it ends") from None
    builds = {"old": folder / "old", "new": folder / "new"}
    try:
        _remove(project, builds)
        _add_worktree(project, builds["old"], reference.commit)
        _add_worktree(project, builds["new"], "HEAD")
        _copy_changes(project, builds["new"])
        for build in builds.values():
            compileall.compile_dir(build / "bus_lightning", quiet=1)
            _check_import(build)
        yield builds
    finally:
        _remove(project, builds)
        lock.release()


def code_checksum(project: Path) -> str:
    """Compute a checksum of the code that is measured; uncommitted changes count."""
    digest = hashlib.sha256()
    for name in _files(project, *_CODE):
        digest.update(name.encode() + b"\0" + hashlib.sha256((project / name).read_bytes()).digest())
    return digest.hexdigest()


def _add_worktree(project: Path, build: Path, commit: str) -> None:
    run(["git", "-C", project, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet", build,
         commit])  # fmt: skip


def _copy_changes(project: Path, build: Path) -> None:
    """Bring uncommitted changes into a worktree of HEAD: files that are new, changed or deleted."""
    wanted = set(_files(project))
    for name in set(_files(build)) - wanted:
        (build / name).unlink()
    for name in wanted:
        target = build / name
        if not target.is_file() or target.read_bytes() != (project / name).read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, target)


def _check_import(build: Path) -> None:
    """Check that PYTHONPATH decides which build is imported.

    Raises:
        MeasurementError: If another one is.
    """
    output = run(["python", "-P", "-c", _ASK], folder=build, PYTHONPATH=str(build)).output
    imported = Path(output.splitlines()[-1])
    if not imported.resolve().is_relative_to(build.resolve()):
        raise MeasurementError(f"PYTHONPATH={build} imports {imported}: another build would be measured")


def _remove(project: Path, builds: dict[str, Path]) -> None:
    """Remove the worktrees, and what git notes about them."""
    for build in builds.values():
        shutil.rmtree(build, ignore_errors=True)
    _git(project, "worktree", "prune")


def _files(project: Path, *below: str) -> list[str]:
    """List the files that git knows of or does not ignore, without deleted ones."""
    listed = _git(project, "ls-files", "-coz", "--exclude-standard", "--", *below) or ""
    return [name for name in sorted(set(listed.split("\0"))) if name and (project / name).is_file()]


def _git(project: Path, *arguments: str) -> str | None:
    """Ask git; None if it fails."""
    command = ["git", "-C", str(project), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return answer.stdout.strip("\n") if answer.returncode == 0 else None
