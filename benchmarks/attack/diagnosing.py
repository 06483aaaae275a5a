"""Put files before `predict`, many in one command, and read what became of each."""

import csv
import math
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.attack.outcomes import Outcome, Tally
from benchmarks.attack.tables import PATIENCE_S
from benchmarks.attack.watching import Watched, watch
from bus_lightning.core.printable import printable

_AT_ONCE = 60  # files of one command
_PROGRESS = re.compile(r"(\d+/\d+) \[")
_FAILURE = re.compile(r"^  \d+(?:-[0-9a-f]{12})? '(.*)$", re.MULTILINE)
_SHOW_EACH = {"TQDM_MININTERVAL": "0", "TQDM_MINITERS": "1"}  # the bar shows each file
File = tuple[str, Path]  # kind, path


def diagnose(
    bundle: Path, files: Sequence[File], scratch: Path, most_mb: float, tally: Tally, done: Callable[[int], None],
    usual: frozenset[str] = frozenset(), **environment: str,
) -> None:  # fmt: skip
    """Let `predict` read files, and add what became of each to the tally.

    A command that crashes, hangs or takes too much memory is given again with each half of its files, until the one
    file is found.

    Args:
        bundle: The bundle.
        files: Kind and path of each file.
        scratch: Folder for results.
        most_mb: Memory at which a command is ended.
        tally: Where outcomes go.
        done: Called with the number of files after each command.
        usual: Codes of the doubts that the intact picture has as well; only further ones count as a doubt.
        environment: More variables of the command.
    """
    waiting = [files[k : k + _AT_ONCE] for k in range(0, len(files), _AT_ONCE)]
    while waiting:
        some = waiting.pop(0)
        out = scratch / "predicted"
        shutil.rmtree(out, ignore_errors=True)
        command = ["python", "-m", "bus_lightning.diagnosis.predict", bundle, "--out", out, "--keep-names", "--",
                   *(path for _, path in some)]  # fmt: skip
        watched = watch([*map(str, command)], _PROGRESS, PATIENCE_S, most_mb, **_SHOW_EACH, **environment)
        trouble = trouble_of(watched, (0, 1))
        if trouble and len(some) > 1:
            half = len(some) // 2
            waiting[:0] = [some[:half], some[half:]]
            continue
        tally.add(_outcomes(some, watched, out, trouble, usual), watched)
        done(len(some))


def trouble_of(watched: Watched, codes: Sequence[int]) -> str | None:
    """Name what must not happen to a command; `codes` are the exit codes that are expected."""
    if watched.hung:
        return "hung"
    if watched.code is None:
        return "too much memory"
    if "Traceback (most recent call last)" in watched.output:
        return "traceback"
    return None if watched.code in codes else "crashed"


def _outcomes(
    files: Sequence[File], watched: Watched, out: Path, trouble: str | None, usual: frozenset[str]
) -> list[Outcome]:
    failed = _FAILURE.findall(watched.output)
    rows: dict[str, list[dict[str, str]]] = {}
    if not trouble:
        with (out / "results.csv").open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                rows.setdefault(row["file"], []).append(row)
    outcomes = []
    for kind, path in files:
        result, line = trouble or "without a line", ""
        if trouble:
            line = watched.output[-2000:]
        elif lines := [text for text in failed if text.startswith(f"{printable(path)}': ")]:
            result, line = "refused", lines[0].removeprefix(f"{printable(path)}': ")
        elif answers := rows.get(str(path)):
            line = answers[0]["doubts"]
            doubts = {code for row in answers for code in row["doubts"].split(";") if code}
            result = "answered with a doubt" if doubts - usual else "answered"
            if not all(map(_is_finite, answers)):
                result, line = "no finite row", str(answers)
        outcomes.append(Outcome(kind, path.name, result, line))
    return outcomes


def _is_finite(row: dict[str, str]) -> bool:
    """Check that the probabilities of an answer sum to 1, and that each number is finite."""
    shares = [float(value) for name, value in row.items() if name.startswith("prob_")]
    numbers = [float(value) for name, value in row.items()
               if value and re.search(r"_px|_mm|_mm2|_deg|^box_|^height|^width|^lesions", name)]  # fmt: skip
    return math.isclose(sum(shares), 1, abs_tol=1e-3) and all(map(math.isfinite, [*shares, *numbers]))
