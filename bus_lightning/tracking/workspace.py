"""The ready dashboard: a saved view of a W&B project that compares the runs of a grid, and each group's champion."""

from typing import Any

import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2 import interface as panels

from bus_lightning.metrics.catalogue import DASHBOARD, shown_in, title_of

_HEADLINE = shown_in(DASHBOARD)  # of the test images
_CURVES = {
    **{f"val/{metric}": title_of(metric) for metric in ("auroc_macro", "accuracy", "dice_image")},
    "val/loss": "validation loss",
    "train/loss": "training loss",
    "lr": "learning rate",
}
_COSTS = {"parameters": "parameters", "seconds": "seconds of the whole run", "latency_ms": "ms per image"}
_CHARTS = {
    "test/confusion_matrix_table": (
        "wandb/confusion_matrix/v1",
        {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"},
        {"title": "truth and answer"},
    ),
    "test/roc_table": (
        "wandb/area-under-curve/v0",
        {"x": "fpr", "y": "tpr", "class": "class"},
        {"title": "ROC", "x-axis-title": "false positive rate", "y-axis-title": "true positive rate"},
    ),
    "test/precision_recall_table": (
        "wandb/area-under-curve/v0",
        {"x": "recall", "y": "precision", "class": "class"},
        {"title": "precision and recall", "x-axis-title": "recall", "y-axis-title": "precision"},
    ),
}


def workspace(entity: str, project: str, group: str | None = None) -> ws.Workspace:
    """Define the view; nothing is sent.

    Args:
        entity: User or team.
        project: W&B project.
        group: Show this group of runs only; None shows all.
    """
    columns = ["run:state", "config:model.name", "summary:score", "summary:kept_epoch"]
    for metric in _HEADLINE:
        columns += [f"summary:test/{metric}{end}" for end in ("", "_low", "_high")]
    columns += [f"summary:{cost}" for cost in _COSTS]
    shown = [ws.Metric("JobType") != "report"] + ([ws.Metric("Group") == group] if group else [])
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"Comparison grid {group}" if group else "Comparison grid",
        sections=_sections(),
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=50),
        runset_settings=ws.RunsetSettings(filters=ws.And(*shown), pinned_columns=columns),
    )


def _sections() -> list[ws.Section]:
    curves = [
        panels.LinePlot(
            title=f"{title}, by model",
            x="epoch",
            y=[key],
            groupby=panels.Config("model.name"),
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
        )
        for key, title in _CURVES.items()
    ]
    bars = [panels.BarPlot(title=f"Test {title_of(key)}", metrics=[f"test/{key}"]) for key in _HEADLINE]
    # None: the fields that W&B asks for in the charts that it makes itself.
    charts = [
        panels.CustomChart(
            query={"id": None, "name": None, "_defaultColorIndex": None, "summaryTable": {"tableKey": table}},
            chart_name=name,
            chart_fields=fields,
            chart_strings=strings,
        )
        for table, (name, fields, strings) in _CHARTS.items()
    ]
    samples = [panels.MediaBrowser(title=f"{key}: truth and answer", media_keys=[key], num_columns=4)
               for key in ("test/images", "val/images")]  # fmt: skip
    costs = [
        panels.ScatterPlot(
            title=f"Test {title_of(metric)} against {cost}",
            x=panels.SummaryMetric(key),
            y=panels.SummaryMetric(f"test/{metric}"),
            log_x=True,
        )
        for metric in ("auroc_macro", "dice_image")
        for key, cost in _COSTS.items()
    ]
    content: dict[str, list[Any]] = {
        "Validation, epoch by epoch": curves,
        "Test images, with 95% intervals": [panels.WeavePanelSummaryTable(table_name="test/metrics")],
        "Test scores": bars,
        "Confusion, ROC, precision and recall": charts,
        "Segmentation samples": samples,
        "Cost against quality": costs,
        "Cases": [panels.WeavePanelSummaryTable(table_name="test/cases")],
    }
    # A table takes the whole width.
    layouts = {len(shown): ws.SectionLayoutSettings(columns=min(3, len(shown)), rows=1) for shown in content.values()}
    return [
        ws.Section(name=name, panels=shown, is_open=True, layout_settings=layouts[len(shown)])
        for name, shown in content.items()
    ]
