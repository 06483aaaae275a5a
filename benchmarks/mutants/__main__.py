"""Put small mistakes into a copy of the code, one at a time, and count how many of them the tests notice."""

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.mutants.trying import catcher, copy_checkout, finished, import_libraries, start
from benchmarks.processes import SCRATCH

try:
    from benchmarks.mutants.drawing import PACKAGE, Mutant, chosen_modules, draw
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}. The extra `mutants` brings it: pip install -e '.[mutants]'") from error

_ROOT = Path(__file__).parent.parent.parent
Row = dict[str, Any]
_LISTED = Path(__file__).parent / "survivors.md"


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutants",
        description=__doc__,
        epilog="The same command continues a stopped one. The exit code is 1 if a survivor is not in survivors.md.",
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="beginnings of paths below bus_lightning/, such "
                        "as statistics/ or tasks/losses.py (default: all listed in modules.py)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default: 1)")
    parser.add_argument("--sample", type=int, default=150, help="how many mutants (default: 150)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    parser.add_argument("--timeout", type=float, default=900, help="seconds after which a mutant counts as noticed "
                        "(default: 900)")  # fmt: skip
    parser.add_argument("--again", choices=("survivors", "all"), help="try these mutants again, with the current tests")
    parser.add_argument("--dry", action="store_true", help="list the mutants without running a test")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit code: 0, or 1 when a mutant survived that is not listed.
    """
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that no child is left behind
    tests = chosen_modules(_ROOT, options.modules)
    mutants = draw(_ROOT, list(tests), options.sample, options.seed)
    if options.dry:
        print(*(f"{mutant.operator:45} {mutant.row()}" for mutant in mutants), sep="\n")
        return 0
    folder = SCRATCH / "mutants"
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.json"  # of every sample: a mutant is the same in each
    known = {json.dumps(_about(row)): row for row in json.loads(results.read_text())} if results.is_file() else {}
    if options.again:
        tried = {json.dumps(mutant.about()) for mutant in mutants}
        known = {
            key: row for key, row in known.items()
            if key not in tried or (options.again == "survivors" and row["end"] != "survived")
        }  # fmt: skip
    missing = [mutant for mutant in mutants if json.dumps(mutant.about()) not in known]
    done = len(mutants) - len(missing)
    if missing:
        import_libraries()
    for row in _try_all(missing, tests, folder, options.jobs, options.timeout):
        known[json.dumps(_about(row))] = row
        done += 1
        results.with_suffix(".new").write_text(json.dumps([*known.values()], indent=1))
        results.with_suffix(".new").replace(results)
        print(f"{done:4}/{len(mutants)} {row['end']:9} {row['seconds']:5.0f} s  {row['module']}: {row['before']}"
              f"  ->  {row['after']}  [{row['by']}]", flush=True)  # fmt: skip
    rows = [known[json.dumps(mutant.about())] for mutant in mutants]
    if missing:
        _check_catchers(rows, folder)
    return _report(mutants, rows)


def _about(row: Row) -> Row:
    return {name: row[name] for name in ("module", "operator", "occurrence", "before", "after")}


def _try_all(
    mutants: list[Mutant], tests: dict[str, list[str]], folder: Path, jobs: int, limit: float
) -> Iterator[Row]:
    """Try the mutants; yields the row of each as it ends."""
    copies = [copy_checkout(_ROOT, folder / f"copy{k}") for k in range(min(jobs, len(mutants)))]
    waiting, running = list(range(len(mutants))), []
    try:
        while waiting or running:
            while waiting and copies:
                mutant, copy = mutants[waiting[0]], copies.pop()
                (copy / PACKAGE / mutant.module).write_text(mutant.text)
                running.append(start(waiting.pop(0), ["-x", *tests[mutant.module]], copy, limit))
            child, end = finished(running)
            running.remove(child)
            mutant = mutants[child.index]
            shutil.copy2(_ROOT / PACKAGE / mutant.module, child.copy / PACKAGE / mutant.module)
            copies.append(child.copy)
            took = time.monotonic() - child.began
            by = catcher(child.output) if end != "survived" else ""
            yield {**mutant.about(), "end": end, "seconds": round(took, 1), "by": by}
    finally:
        for child in running:
            child.limit = 0
            finished([child])


def _check_catchers(rows: list[Row], folder: Path) -> None:
    """Run the tests that caught a mutant on the code without one, where they must pass.

    Raises:
        SystemExit: When one fails: what it caught proves nothing.
    """
    names = sorted({row["by"].split()[1] for row in rows if row["end"] == "caught" and "::" in row["by"]})
    if names:
        print(f"Running the {len(names)} tests that caught something once without a mistake.", flush=True)
        child, end = finished([start(0, names, copy_checkout(_ROOT, folder / "copy0"), 7200)])
        if end != "survived":
            raise SystemExit(f"A test fails without a mistake: {catcher(child.output)}; see {child.output}")


def _report(mutants: list[Mutant], rows: list[Row]) -> int:
    """Print the score and the survivors."""
    listed = _LISTED.read_text() if _LISTED.is_file() else ""
    left = [mutant for mutant, row in zip(mutants, rows, strict=True) if row["end"] == "survived"]
    unlisted = [mutant for mutant in left if mutant.row() not in listed]
    ends = [row["end"] for row in rows]
    print(f"\n{len(rows)} mutants: " + ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends))))
    print(f"Score: {100 * (1 - len(left) / max(1, len(rows))):.0f}%. {len(left) - len(unlisted)} of the survivors are "
          f"listed with a reason.")  # fmt: skip
    for mutant in unlisted:
        print(f"{mutant.row()} |")
    return int(bool(unlisted))


if __name__ == "__main__":
    raise SystemExit(main())
