"""A page of results with its plan, as `make results` fills it."""

import json
from dataclasses import asdict, replace

from bus_lightning.launch.report import extensions
from bus_lightning.report.results.making import make_results
from bus_lightning.report.results.rows import Row

PLAN = """
tables:
  scores:
    groups: [folded, gone]
    task: classification
    metrics: [accuracy, log_loss]
    models: [resnet34, alexnet]
    seeds: [0, 1]
    paper: {accuracy: [Table 4, accuracy], log_loss: [Table 4, log_loss]}
  outside: {kind: across, groups: [outside], task: classification, metrics: [auroc_macro]}
goals:
  - {question: all classes, groups: [folded], task: classification, metric: accuracy, goal: 0.5, elsewhere: "0.4"}
  - {question: the loss, groups: [folded], task: classification, metric: log_loss, goal: 0.001, least: 100}
  - {question: outside, groups: [outside], task: classification, metric: auroc_macro, goal: 1.1, tested: other}
"""
PAGE = """# Results

Prose before.

<!-- table:protocol -->
<!-- end -->
<!-- table:goals -->
old
<!-- end -->

Prose between.

<!-- table:scores -->
<!-- end -->
<!-- table:outside -->
<!-- end -->
<!-- table:missing -->
<!-- end -->

Prose after.
"""


def make_page(page_and_plan, tmp_path, **options):
    """Make the page of the runs in `tmp_path / "runs"`; return its text, and the content of its JSON."""
    page, plan = page_and_plan
    unplaced = make_results(tmp_path / "runs", page, plan, extensions=extensions(), **options)
    assert unplaced == []
    return page.read_text(), json.loads(page.with_suffix(".json").read_text())


def make_row(**values):
    """Make a row of the table `scores`, or of another with these values."""
    usual = Row(
        table="scores", group="folded", condition="resnet34", label="resnet34", model="resnet34", ensemble=1,
        task="classification", trained=("busi",), data="busi", classes=(), protocol="held-out images",
        protocol_sha256=None, part="test", metric="accuracy", value=0.7, low=0.6, high=0.8, reason="", n=40, runs=4,
        sd_of_runs=None, commit="aaaaaaa", command=("python train.py",),
    )  # fmt: skip
    return replace(usual, **values)


def write_record(page, *rows, missing=(), **more):
    """Write the JSON of an earlier page, whose runs are gone."""
    content = {"rows": [asdict(row) for row in rows], "missing": list(missing)} | more
    page.with_suffix(".json").write_text(json.dumps(content))
