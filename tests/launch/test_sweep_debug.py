"""Every sweep runs in every way of debugging, on phantoms."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import train

ROOT = Path(__file__).parents[2]
# Without the sweep over several data sets: data=phantom draws one.
SWEEPS = sorted({file.stem for file in (ROOT / "conf" / "sweep").glob("*.yaml")} - {"leave_one_dataset_out"})
WAYS = sorted(file.stem for file in (ROOT / "conf" / "debug").glob("*.yaml"))
TINY = ("data.size=32", "data.split.cross_folds=2", "sweep=two_stage", "trainer.max_epochs=1")


@pytest.mark.slow
def test_the_classifiers_of_two_stages_get_a_mask_of_every_image_also_while_debugging(composed):
    for fold in ("null", 0, 1):
        train.run(composed(*TINY, "debug=fast", "model=u2net_lite", f"data.split.cross_fold={fold}"))
    cfg = composed(*TINY, "debug=fast", "model=resnet34", "data.split.cross_fold=null", "name=classifier")
    train.run(cfg)
    run = RunDir(Path(cfg.runs_dir) / "debug" / "classifier")
    assert run.is_complete
    assert run.status["masks"]


@pytest.mark.slow
def test_masks_of_a_part_of_the_images_are_refused_with_the_limit_that_is_the_reason(composed):
    limited = ("trainer.limit_test_batches=1", "data.batch_size=2", "overlay=none")
    for fold in ("null", 0, 1):
        train.run(composed(*TINY, *limited, "model=u2net_lite", f"data.split.cross_fold={fold}"))
    with pytest.raises(UserError, match=r"because of trainer\.limit_test_batches=1: remove that folder"):
        train.run(composed(*TINY, "model=resnet34", "data.split.cross_fold=null"))


def test_a_failed_segmenter_is_named_with_its_reason(composed):
    with pytest.raises(UserError):
        train.run(composed(*TINY, "model=u2net_lite", "model.weights=/no/file.pth"))
    with pytest.raises(UserError, match=r"is not complete \(failed: No checkpoint at /no/file\.pth"):
        train.run(composed(*TINY, "model=resnet34"))


@pytest.mark.nightly
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_runs_in_every_way_of_debugging_on_phantoms(sweep, way, phantom, audit_cache, tmp_path):
    # Small, except for the two that are about the networks themselves.
    overrides = ["data=phantom", f"sweep={sweep}", f"debug={way}", f"data.root={phantom}", f"data.cache={audit_cache}",
                 f"runs_dir={tmp_path}", "data.phantom.images=72", "data.size=64", "debug_size=true",
                 "trainer.max_epochs=1", "logger=none", "rerun=false"]  # fmt: skip
    if sweep == "search":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
        overrides += ["model=resnet34", "hydra.sweeper.n_trials=2"]
    if sweep in ("seeds", "folds"):
        overrides += ["model=alexnet"]
    if sweep == "leakage_segmenter":
        overrides += ["data.split.ratio=[1,1,1]"]  # its own leaves validation images of all classes to chance
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SQLALCHEMY_SILENCE_UBER_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "train.py", *overrides], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    states = {file.parent.name: json.loads(file.read_text()) for file in tmp_path.glob("*/*/status.json")}
    assert states, done.stderr
    assert "Traceback" not in done.stderr
    if way == "batch_size":  # needs a GPU
        assert {state["kind"] for name, state in states.items()} == {"UserError"}, done.stderr
        return
    # Weights that cannot be had here are said to be missing.
    lacking = {name: state["error"] for name, state in states.items() if state["state"] != "complete"}
    assert lacking.keys() <= {name for name in states if name.startswith("resnet34_pretrained")}, lacking
    assert done.returncode == bool(lacking), done.stderr
