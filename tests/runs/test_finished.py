"""A finished run is opened in one way, and lists only the files that a caller asks for."""

import subprocess
import sys

import pytest
import torch

from bus_lightning.config.build import build_net
from bus_lightning.core.errors import UserError
from bus_lightning.runs.finished import find_runs, open_run
from bus_lightning.runs.folder import RunDir


def test_a_finished_run_is_one_object_with_its_config_split_metrics_and_cases(finished):
    run = open_run(str(finished("model=resnet34").path))
    assert run.config.model.name == "resnet34"
    assert run.classes == ["benign", "malignant", "normal"]
    assert 0 <= run.metrics["test"]["auroc_macro"] <= 1
    assert set(run.cases["id"]) == set(run.split.val + run.split.test)
    assert run.cases["group"].tolist() == [run.split.groups[id_] for id_ in run.cases["id"]]


def test_the_network_of_a_run_has_its_kept_weights(finished):
    folder = finished("model=resnet34")
    with pytest.raises(UserError, match=r"has no checkpoints/best\.ckpt: train it again"):
        open_run(folder.path).network()
    cfg = open_run(folder.path).config
    kept = build_net(cfg.model, cfg.debug_size)
    folder.checkpoints.mkdir()
    torch.save({"state_dict": {f"net.{name}": value for name, value in kept.state_dict().items()}}, folder.best)
    opened = open_run(folder.path).network()
    assert not opened.training
    assert all(map(torch.equal, opened.state_dict().values(), kept.state_dict().values()))


def test_only_complete_runs_are_opened_unless_others_are_wanted(finished, tmp_path):
    folder = finished("model=resnet34")
    folder.metrics_file.unlink()
    folder.update_status(state="interrupted")
    with pytest.raises(UserError, match=r"is not complete \(interrupted\): finish its training first"):
        open_run(folder.path)
    assert open_run(folder.path, complete=False).config.model.name == "resnet34"
    folder.status_file.unlink()
    with pytest.raises(UserError, match=r"is not complete \(not started\)"):
        open_run(folder.path)
    with pytest.raises(UserError, match=r"is not a run folder: it has no config\.yaml"):
        open_run(tmp_path)


def test_a_run_that_was_set_aside_is_no_longer_found(finished):
    folder = finished("model=resnet34")
    pattern = str(folder.path.parent / "*")
    assert [run.path for run in find_runs(pattern, pattern)] == [folder.path]
    old = folder.set_aside()
    assert RunDir(old).is_set_aside
    assert [run.path for run in find_runs(pattern)] == [folder.path]


def test_a_run_under_two_spellings_is_found_once(finished, monkeypatch):
    folder = finished("model=resnet34")
    monkeypatch.chdir(folder.path.parents[1])
    group = folder.path.parent.name
    assert [str(run.path) for run in find_runs(f"{group}/*", f"./{group}/*", str(folder.path))] == [
        f"{group}/{folder.path.name}"
    ]


def test_opening_a_run_needs_no_torch(finished):
    folder = finished("model=resnet34")
    script = (
        "import sys; from bus_lightning.runs.finished import open_run; "
        f"run = open_run({str(folder.path)!r}); len(run.cases), run.split, run.metrics; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
