"""What of this machine and of its images goes to W&B, read back from what was recorded offline."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from recordings import of_kind, read_recording, read_records

from bus_lightning.core.errors import UserError
from bus_lightning.launch.report import send_to_wandb
from bus_lightning.report.making import make_report
from bus_lightning.runs.folder import RunDir
from bus_lightning.tracking.settings import wandb_mode
from bus_lightning.training import fit, train

ROOT = Path(__file__).parents[2]
REMOTE = "/home/somebody/secret_folder/project.git"


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """Stand in a repository whose remote is a folder, as W&B finds it from the working directory."""
    repository = tmp_path / "repository"
    repository.mkdir()
    me = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (
        ["init", "-q"],
        ["remote", "add", "origin", REMOTE],
        [*me, "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    monkeypatch.chdir(repository)
    return repository


def text_of(run):
    """All that was recorded of a run, without the names of files that an artifact stages and does not send."""
    records = read_records(run.path)
    for artifact in of_kind(records, "artifact"):
        for entry in artifact.get("manifest", {}).get("contents", []):
            entry.pop("local_path", None)
    return "\n".join(map(json.dumps, records))


@pytest.mark.parametrize("task", ["model=alexnet", "model=u2net_lite"])
def test_without_names_nothing_that_goes_to_wandb_holds_the_id_of_an_image_and_the_rest_is_there(trained, remote, task):
    run = trained(task, "logger=wandb", "logger.wandb.image_names=false", "data.split.val_from_train=1", "name=one")
    ids = pd.read_csv(run.cases)["id"]
    sent = [text_of(run).encode(), *(file.read_bytes() for file in run.path.glob("wandb/**/*") if file.is_file())]
    for name in {*ids, *(id_.partition("/")[2] for id_ in ids)}:
        assert not [content for content in sent if name.encode() in content], name
    recorded = read_recording(run.path)
    columns, rows = recorded.table("test/cases")
    assert [row[columns.index("id")] for row in rows] == [f"image {k + 1}" for k in range(run.metrics["test"]["n"])]
    assert all(caption.startswith("image ") for caption in recorded.summary["val/images"]["captions"])


def test_with_names_as_is_the_default_the_table_and_the_captions_hold_them_and_the_remote_is_nowhere(trained, remote):
    run = trained("model=alexnet", "logger=wandb", "name=one")
    recorded = read_recording(run.path)
    columns, rows = recorded.table("test/cases")
    cases = pd.read_csv(run.cases).query("split == 'test'")
    assert [row[columns.index("id")] for row in rows] == cases["id"].tolist()
    assert "/" in recorded.summary["val/images"]["captions"][0].partition(":")[0]
    everything = [text_of(run).encode(), *(f.read_bytes() for f in run.path.glob("wandb/**/*") if f.is_file())]
    assert not [content for content in everything if b"secret_folder" in content]
    assert recorded.config["commit"] == run.status["commit"]


def test_the_folder_of_the_weights_that_a_training_began_with_is_not_sent(trained, tmp_path):
    start = tmp_path / "Ward of Dr Doe" / "start.ckpt"
    start.parent.mkdir()
    shutil.copy(trained("model=alexnet", "name=first").best, start)
    sent = text_of(trained("model=alexnet", f"model.weights='{start}'", "logger=wandb", "name=second"))
    assert "start.ckpt" in sent
    assert "Doe" not in sent


@pytest.mark.parametrize("named", [True, False])
def test_a_failure_that_names_an_image_is_sent_only_as_its_kind_where_names_stay_here(composed, monkeypatch, named):
    def fail(*_):
        raise RuntimeError("benign/benign (3) is odd")

    monkeypatch.setattr(fit, "evaluate_parts", fail)
    cfg = composed("model=alexnet", "logger=wandb", f"logger.wandb.image_names={named}", "name=one")
    with pytest.raises(RuntimeError):
        train.run(cfg)
    run = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    assert ("benign (3)" in text_of(run)) == named
    assert ("is odd" in read_recording(run.path).summary["error"]) == named
    assert "RuntimeError" in read_recording(run.path).summary["error"]


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_a_report_goes_to_wandb_without_its_pictures_of_images_where_names_stay_here(finished, named, phantom):
    run = finished("group=grid", "model=resnet34", "logger=wandb", f"logger.wandb.image_names={named}")
    make_report([run.path.parent], send=send_to_wandb)
    logged = read_recording(run.path.parent)
    keys = {key.partition(".")[0].removesuffix("_type") for row in logged.history for key in row} | set(logged.summary)
    assert any(key.startswith("figures/confusion") for key in keys)
    assert any(key.startswith("figures/data_sample") for key in keys) == named


def test_numbers_as_tags_notes_and_project_are_text(composed):
    cfg = composed("model=alexnet", "logger=wandb", "logger.wandb.tags=[1,2.5,x]", "logger.wandb.notes=7",
                   "logger.wandb.project=2026", "name=one")  # fmt: skip
    train.run(cfg)
    text = text_of(RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name))
    assert '"tags": ["1", "2.5", "x"]' in text
    assert '"notes": "7"' in text


@pytest.mark.parametrize("name", ["WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL"])
def test_a_variable_of_wandb_that_is_empty_is_taken_out_before_wandb_reads_it(monkeypatch, tmp_path, name):
    for variable in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody is logged in
    monkeypatch.setenv(name, " ")
    assert wandb_mode() == "offline"
    assert name not in os.environ


def test_a_mode_that_wandb_does_not_know_is_refused_with_those_it_knows(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "of-line")
    with pytest.raises(UserError, match=r"WANDB_MODE=of-line is not .*: give one of online, offline, disabled, shared"):
        wandb_mode()
