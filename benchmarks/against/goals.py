"""The rows of the table: what is compared, its goal, and why it was missed where it was."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        probe: Name of the script in `rows/`.
        what: What the table calls it.
        goal: The most that new / old may be; None where no goal was set.
        key: Which number of the probe is compared.
        missed: Why the goal is missed, found by measurement; shown only where it is.
    """

    probe: str
    what: str
    goal: float | None = None
    key: str = "seconds"
    missed: str = ""


@dataclass(frozen=True)
class Plan:
    """How a probe is run.

    Attributes:
        rounds: How often each build takes its turn; with --quick, once.
        keeps_work: Whether its folder stays from round to round, because its preparation takes long and it knows what
            it finds there. Otherwise each turn begins with an empty one.
        on_request: Whether it is run only where `--rows` names it.
        limit_s: Seconds after which a turn is ended.
    """

    rounds: int = 5
    keeps_work: bool = False
    on_request: bool = False
    limit_s: float = 3600


ROWS = (
    Row(
        "report_demo",
        "report over the demo's four runs",
        0.3,
        missed="building and arranging the figures takes 31% of the new build's processor time, drawing them 34%",
    ),
    Row("report_again", "a second report over the same runs", 0.1),
    Row(
        "report_100_runs",
        "report over 100 runs",
        0.4,
        missed="the metrics of the bootstrap draws take 21% of the new build's time, building the figures 20%, drawing "
        "them 19%",
    ),
    Row(
        "report_1000_runs",
        "report over 1,000 runs",
        0.4,
        missed="the metrics of the bootstrap draws take 38% of the new build's processor time, ROC curves with their "
        "bands 11%, reading the runs 9%",
    ),
    Row(
        "audit_busi",
        "audit of BUSI's 780 images",
        0.4,
        missed="the search for near-duplicates takes half of the new build's processor time (keypoints 27%, comparison "
        "23%), decoding 26%",
    ),
    Row(
        "audit_bus_bra",
        "audit of half of BUS-BRA, 946 images",
        0.4,
        missed="keypoints take 26% of the new build's processor time, comparing images 19%, decoding images and masks "
        "15%",
    ),
    Row(
        "heat_maps",
        "heat maps of four runs, 10 images each",
        0.3,
        missed="the passes through the networks, in float32 in both builds, take 59% of the new build's time; bfloat16 "
        "halves a pass, but changes the maps",
    ),
    Row(
        "suite",
        "all tests, fast and slow",
        0.6,
        missed="the new build has 6,562 tests, the old one 5,531: a test takes 0.84 of the time. `make test` without "
        "the slow tests takes 13 of the 28 minutes",
    ),
    Row(
        "first_step",
        "from the command to the first training step",
        0.7,
        missed="the imports, a row of their own, take most of the time and are the same in both builds",
    ),
    Row(
        "u2net_lite_step",
        "a training step of U2NET-Lite, 8 images of 320 pixels, in bfloat16",
        1 / 1.2,
        missed="convolutions and batch norm, the same in both builds, take 72% of a step (the table of shares above)",
    ),
    Row(
        "u2net_lite_step_float32",
        "the same in float32",
        1 / 1.2,
    ),
    Row("joint_step", "a training step of the joint network, 8 images of 192 pixels"),
    Row("grid", "five networks, two training steps each"),
    Row("import_training", "import what train.py imports"),
    Row("command_help", "`train.py --help`"),
)
PLANS = {
    "report_demo": Plan(keeps_work=True),
    "report_again": Plan(keeps_work=True),
    "report_100_runs": Plan(rounds=3, keeps_work=True),
    "report_1000_runs": Plan(rounds=1, keeps_work=True),
    "audit_busi": Plan(rounds=3, keeps_work=True),
    "audit_bus_bra": Plan(rounds=3, keeps_work=True),
    "heat_maps": Plan(rounds=3, keeps_work=True),
    "suite": Plan(rounds=1, on_request=True, limit_s=7200),
    "first_step": Plan(keeps_work=True),
    "u2net_lite_step": Plan(rounds=3),
    "u2net_lite_step_float32": Plan(rounds=3),
    "joint_step": Plan(rounds=3, keeps_work=True),
    "grid": Plan(rounds=3, keeps_work=True),
    "import_training": Plan(rounds=7),
    "command_help": Plan(rounds=7),
}


def keys_of(probe: str) -> set[str]:
    """Name the numbers of a probe that the table shows."""
    return {row.key for row in ROWS if row.probe == probe} or {"seconds"}
