"""Other images are averaged over the networks of all folds, if none of them has seen the image."""

import logging
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from averaging import average, ensembles_in
from composing import compose_run

from bus_lightning.core.errors import UserError
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.runs.evaluations import read_evaluations
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.table import collect
from bus_lightning.statistics.across_sets import read_across
from bus_lightning.statistics.conditions import read_group
from bus_lightning.training import fit, train


@pytest.fixture(scope="module")
def classifiers(phantom, audit_cache, tmp_path_factory):
    """Two seeds of a small classifier on each of two folds, trained once."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save_sheet", lambda *_: None)
        for fold, seed in product((0, 1), (0, 1)):
            options = ["model=resnet34", f"seed={seed}", "group=g", "data.size=32", "data.split.folds=2"]
            train.run(compose_run([*options, f"data.split.fold={fold}"], phantom, audit_cache, runs))
    return runs / "g"


@pytest.fixture
def evaluated(classifiers, tmp_path):
    """The classifiers, and a folder of 12 images that none of them has seen."""
    copied = Path(shutil.copytree(classifiers, tmp_path / "g"))
    draw_phantom(tmp_path / "elsewhere", images=12, seed=7)
    return [RunDir(path) for path in sorted(copied.iterdir()) if path.is_dir()], tmp_path / "elsewhere"


@pytest.mark.slow
def test_images_elsewhere_are_averaged_over_the_networks_of_all_folds_and_only_once(evaluated, caplog):
    caplog.set_level(logging.INFO)
    runs, root = evaluated
    group = runs[0].path.parent
    average(group / "*", "seeds", f"data.root={root}")
    folders = ensembles_in(group)
    assert len(folders) == 2
    evaluations = [read_evaluations(RunDir(folder), None) for folder in folders]
    assert [len(each) for each in evaluations] == [1, 0]
    (evaluation,) = evaluations[0]
    assert evaluation.networks == 4
    mean = evaluation.cases.set_index("id")
    tables = [read_evaluations(run, None)[0].cases.set_index("id") for run in runs]  # made on the way, for the report
    one, together = collect([runs[0].path, folders[0]], "test", [runs[0].path, evaluation.folder.path])["parameters"]
    assert together == 4 * one  # not the two networks of the fold whose folder holds the evaluation
    assert np.allclose(mean["prob_benign"], sum(table.loc[mean.index, "prob_benign"] for table in tables) / 4)
    caplog.clear()
    average(group / "*", "seeds", f"data.root={root}")
    assert f"{evaluation.folder.path}: complete, skipped" in caplog.text
    conditions = {condition.is_ensemble: condition for condition in read_group(group).conditions}
    across = read_across([conditions[True], conditions[False]])
    (cell,) = [row.cells["elsewhere"] for row in across.rows if row.condition.is_ensemble]
    assert (cell.condition.networks, cell.images, cell.condition.cases["replicate"].nunique()) == (4, 12, 1)


def test_images_that_one_network_has_seen_are_refused_or_left_out(evaluated, phantom, caplog):
    runs, _ = evaluated
    with pytest.raises(UserError):
        average(runs[0].path.parent / "*", "seeds", f"data.root={phantom}", "split=all")
    assert "has seen" in caplog.text
    assert "so its predictions for them are not averaged" in caplog.text
    assert not read_evaluations(RunDir(ensembles_in(runs[0].path.parent)[0]), None)
