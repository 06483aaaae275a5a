"""The ready dashboard: a saved view of a W&B project that compares the runs of a grid."""

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
_IMAGES = {"test/images": "Test images", "val/images": "Validation images"}
_CHARTS = {
    "test/confusion_matrix_table": (
        "wandb/confusion_matrix/v1",
        {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"},
        {"title": "Confusion matrix"},
    ),
    "test/roc_table": (
        "wandb/area-under-curve/v0",
        {"x": "fpr", "y": "tpr", "class": "class"},
        {"title": "ROC", "x-axis-title": "false positive rate", "y-axis-title": "true positive rate"},
    ),
    "test/precision_recall_table": (
        "wandb/area-under-curve/v0",
        {"x": "recall", "y": "precision", "class": "class"},
        {"title": "Precision and recall", "x-axis-title": "recall", "y-axis-title": "precision"},
    ),
}


def workspace(entity: str, project: str, group: str | None = None) -> ws.Workspace:
    """Define the view of a group of runs, or of all runs of the project; nothing is sent."""
    columns = ["run:state", "config:model.name", "summary:score", "summary:kept_epoch"]
    columns += [f"summary:test/{metric}{end}" for metric in _HEADLINE for end in ("", "_low", "_high")]
    columns += [f"summary:{cost}" for cost in _COSTS]
    filters = [ws.Metric("JobType") != "report"] + ([ws.Metric("Group") == group] if group else [])
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"Comparison grid {group}" if group else "Comparison grid",
        sections=[_section(name, shown) for name, shown in _panels().items()],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=50),
        runset_settings=ws.RunsetSettings(filters=ws.And(*filters), pinned_columns=columns),
    )


def _section(name: str, shown: list[Any]) -> ws.Section:
    layout = ws.SectionLayoutSettings(columns=min(3, len(shown)), rows=1)  # a table alone takes the whole width
    return ws.Section(name=name, panels=shown, is_open=True, layout_settings=layout)


def _panels() -> dict[str, list[Any]]:
    """Return name of a section -> its panels."""
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
    # None: the fields that W&B expects in the charts that it makes itself.
    charts = [
        panels.CustomChart(
            query={"id": None, "name": None, "_defaultColorIndex": None, "summaryTable": {"tableKey": table}},
            chart_name=name,
            chart_fields=fields,
            chart_strings=strings,
        )
        for table, (name, fields, strings) in _CHARTS.items()
    ]
    images = [
        panels.MediaBrowser(title=f"{title}: ground truth and prediction", media_keys=[key], num_columns=4)
        for key, title in _IMAGES.items()
    ]
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
    return {
        "Validation, epoch by epoch": curves,
        "Test images, with 95% intervals": [panels.WeavePanelSummaryTable(table_name="test/metrics")],
        "Test scores": [panels.BarPlot(title=f"Test {title_of(key)}", metrics=[f"test/{key}"]) for key in _HEADLINE],
        "Confusion, ROC, precision and recall": charts,
        "Segmentation samples": images,
        "Cost against quality": costs,
        "Cases": [panels.WeavePanelSummaryTable(table_name="test/cases")],
    }
