"""What the panels of the ready dashboard take from the runs: keys of the history and of the summary, and tables."""

from dataclasses import dataclass, field

import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2 import interface as panels
from wandb_workspaces.workspaces import internal


@dataclass
class Keys:
    """The keys that a panel takes."""

    history: list = field(default_factory=list)
    numbers: list = field(default_factory=list)  # of the summary
    images: list = field(default_factory=list)
    tables: dict = field(default_factory=dict)  # key of the summary -> names of columns

    def missing_in(self, recording):
        """List the keys that a recorded run does not have, or has as something else."""
        rows, summary = {key for row in recording.history for key in row}, recording.summary
        missing = [key for key in self.history if key not in rows]
        missing += [key for key in self.numbers if not isinstance(summary.get(key), int | float)]
        missing += [key for key in self.images if not str(kind_of(summary, key)).startswith("images")]
        for key, columns in self.tables.items():
            if kind_of(summary, key) != "table-file":
                missing.append(key)
            elif not {*columns} <= {*recording.table(key)[0]}:
                missing.append(f"{key}: {columns}")
        return missing


def kind_of(summary, key):
    value = summary.get(key)
    return value.get("_type") if isinstance(value, dict) else None


def keys_of(panel):
    """Return the keys that a panel takes."""
    match panel:
        case panels.LinePlot():
            return Keys(history=[panel.x if isinstance(panel.x, str) else panel.x.name, *names_of(panel.y)])
        case panels.BarPlot():
            return Keys(numbers=names_of(panel.metrics))
        case panels.ScatterPlot():
            return Keys(numbers=names_of([panel.x, panel.y]))
        case panels.MediaBrowser():
            return Keys(images=list(panel.media_keys))
        case panels.WeavePanelSummaryTable():
            return Keys(tables={panel.table_name: []})
        case panels.CustomChart():
            return Keys(tables={panel.query["summaryTable"]["tableKey"]: list(panel.chart_fields.values())})
    raise TypeError(f"{type(panel).__name__}: say here which keys this kind of panel takes")


def names_of(metrics):
    return [metric if isinstance(metric, str) else metric.name for metric in metrics]


def sent_and_read(workspace):
    """Write the definition as W&B's package sends it, and read it as the package reads a view from the server."""
    view = workspace._to_model()
    text = view.spec.model_dump_json(by_alias=True, exclude_none=True)
    spec = internal.WorkspaceViewspec.model_validate_json(text)
    kept = internal.View(entity=view.entity, project=view.project, display_name=view.display_name, name="v", id="v",
                         spec=spec)  # fmt: skip
    return text, ws.Workspace._from_model(kept)
