"""Read back what W&B has recorded offline, with W&B's own reader."""

import json
import subprocess
from dataclasses import dataclass, field

from wandb.util import get_core_path


@dataclass
class Recording:
    """What all recordings of a run hold together; the state and the exit code are those of the last one."""

    config: dict = field(default_factory=dict)
    summary: dict = field(default_factory=dict)
    history: list = field(default_factory=list)  # a row per epoch, and one for what came after the training
    state: str = ""  # finished, failed or running
    exit_code: int | None = None  # None: killed before it could say so
    files: dict = field(default_factory=dict)  # path on W&B, such as `media/images/...` -> file

    def table(self, key):
        """Return the names of the columns of a logged table, and its rows."""
        content = json.loads(self.files[self.summary[key]["path"]].read_text())
        return content["columns"], content["data"]


def read_recording(folder):
    """Read all recordings in the folder of a run."""
    recording = Recording()
    for part in _parts(folder):
        (summary,) = _inspect(part, "--summary")
        recording.config |= summary["config"] or {}
        recording.summary |= summary["summary"] or {}
        recording.state, recording.exit_code = summary["state"], summary["exit_code"]
        recording.history += of_kind(_inspect(part), "history", "item")
        recording.files |= {str(file.relative_to(part / "files")): file for file in part.glob("files/media/**/*.*")}
    return recording


def read_records(folder):
    """List the records of all recordings in the folder of a run, in the order of time."""
    return [record for part in _parts(folder) for record in _inspect(part)]


def of_kind(records, kind, *keys):
    """Take the content of the records of a kind, or what it holds below some keys."""
    contents = [record[kind] for record in records if record["type"] == kind]
    for key in keys:
        contents = [content[key] for content in contents]
    return contents


def _parts(folder):
    parts = sorted(folder.glob("wandb/offline-run-*"))
    assert parts, f"nothing was recorded offline in {folder}"
    return parts


def _inspect(part, *options):
    # As `wandb leet inspect` calls it, without a Python that imports W&B for each recording.
    (file,) = part.glob("*.wandb")
    command = [get_core_path(), "leet", "inspect", "--no-observability", *options, "--json", "--run-file", file, part]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(output)] if options else [json.loads(line) for line in output.splitlines()]
