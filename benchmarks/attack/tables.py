"""The tables of the attack."""

from statistics import median, quantiles
from typing import Any

from benchmarks.attack.outcomes import BAD, GOOD
from benchmarks.report import table

MOST_MB = 1500  # what docs/security.md promises for `predict` and the page
PATIENCE_S = 60  # seconds of one file or command without progress, on a machine that does other things as well

# What the page's own script requests; each asset has another name.
NEEDED = {"GET /", "GET /config", "GET /theme.css", "GET /favicon.ico", "GET /gradio_api/heartbeat/{session_hash}",
          "GET /assets/{path:path}", "GET /static/{path:path}", "POST /gradio_api/upload",
          "POST /gradio_api/queue/join", "GET /gradio_api/queue/data"}  # fmt: skip


INTACT = "intact pictures, DICOM and video"


def is_well(numbers: dict[str, Any]) -> bool:
    """Check that nothing happened that must not, and that the memory kept its bound."""
    bad = any(counts.get(result) for counts in numbers["counts"].values() for result in BAD)
    foreign = set(numbers["routes"]["answered"]) - NEEDED
    return not (bad or foreign or numbers["markers"] or numbers["secrets"]) and max(
        numbers["predict"]["together_mb"], numbers["predict"]["alone_mb"]
    ) <= MOST_MB  # fmt: skip


def tables(numbers: dict[str, Any]) -> dict[str, str]:
    """Make the tables `attack`, of all numbers, and `attack_kinds`, of each kind of files."""
    return {
        "attack": _numbers(numbers),
        "attack_kinds": _kinds(numbers["counts"]),
        "routes": _routes(numbers["routes"]),
    }


def load_tables(numbers: dict[str, Any]) -> dict[str, str]:
    """Make the table `page_load`, of what `python -m benchmarks.page_load` measured."""
    answers = sorted(numbers["answers"])
    late = quantiles(answers, n=100, method="inclusive")[98]
    hostile = ", ".join(f"{number} {what}" for what, number in numbers["hostile"].items())
    return {"page_load": table(["", "number"], [
        ("users at once, one of them hostile", numbers["users"]),
        ("pictures of the others, all answered", len(answers)),
        ("seconds from upload to answer, median", f"{median(answers):.2f}"),
        ("... 99 of 100 within", f"{late:.2f}"),
        ("... the longest", f"{answers[-1]:.2f}"),
        (f"files of the hostile user ({hostile})", sum(numbers["hostile"].values())),
        ("largest memory of the page and its children together, MB", round(numbers["peak_mb"])),
    ])}  # fmt: skip


def _numbers(numbers: dict[str, Any]) -> str:
    counts = [results for kind, results in numbers["counts"].items() if kind != INTACT]

    def number(*results: str) -> int:
        return sum(kind.get(result, 0) for kind in counts for result in results)

    predict, others = numbers["predict"], numbers["others"]
    rows: list[tuple[str, object]] = [
        ("**hostile and damaged files, folders and archives tried**", number(*GOOD, *BAD)),
        ("... refused with a line that says why", number("refused")),
        ("... answered, with a doubt that the intact picture does not have", number("answered with a doubt")),
        ("... answered: the change does no harm, or cannot be seen", number("answered")),
        ("**tracebacks**", number("traceback")),
        ("**crashes**", number("crashed")),
        (f"**hangs**: no progress within {PATIENCE_S} s", number("hung")),
        ("answers with a number that is not finite", number("no finite row")),
        ("files that were neither answered nor refused", number("without a line")),
        ("files that foreign code left, of configs, arrays and checkpoints that try", numbers["markers"]),
        ("times that a variable of this machine's environment was printed or written", numbers["secrets"]),
        (
            "`predict`: largest memory of the command and its children together, MB; pages that several programs share "
            "count in part",
            round(predict["together_mb"]),
        ),
        (
            "`predict`: largest memory of one of these processes, with all that it shares, MB",
            round(predict["alone_mb"]),
        ),
        ("... the limit, MB", MOST_MB),
        ("`predict`: longest time of one file, s", f"{predict['longest']:.1f}"),
        ("the other commands: largest memory of one process, MB", round(others["alone_mb"])),
        ("the other commands: longest time of one command, s", f"{others['longest']:.1f}"),
    ]
    return table(["", "number"], rows)


def _routes(numbers: dict[str, Any]) -> str:
    return table(["the page", "number"], [
        ("routes of the installed Gradio", numbers["routes"]),
        ("requests to them, by seven methods", numbers["requests"]),
        ("routes that are answered", len(numbers["answered"])),
        ("... of them ones that the page itself does not use", len(set(numbers["answered"]) - NEEDED)),
    ])  # fmt: skip


def _kinds(counts: dict[str, dict[str, int]]) -> str:
    rows = []
    for kind, results in counts.items():
        bad = sum(results.get(result, 0) for result in BAD)
        rows.append([kind, sum(results.values()), *(results.get(result, 0) for result in GOOD), bad])
    return table(["files", "tried", *GOOD, "anything else"], rows)
