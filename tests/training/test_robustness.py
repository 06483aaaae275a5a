"""A finished run on corrupted test images, and the baselines of its split: files that a report reads."""

import json

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from bus_lightning.core.errors import OccupiedError, UserError
from bus_lightning.data.splits import load_split
from bus_lightning.metrics.columns import COUNTS
from bus_lightning.runs.baselines import BASELINES, read_baseline
from bus_lightning.runs.lock import owned
from bus_lightning.runs.robustness import CLEAN, Level, read_robustness
from bus_lightning.training import fit
from bus_lightning.training.evaluate import evaluate_run, evaluate_runs

OPTIONS = {"corruptions": ["crop", "speckle"], "strengths": [5], "images": None}
CROP, SPECKLE = Level("crop", 5), Level("speckle", 5)


def request(root=None, **options):
    base = {"runs": "", "part": "test", "split": None, "progress": False, "robustness_options": OPTIONS}
    return OmegaConf.create(base | {"data": {"root": root, "skip_unreadable": False}} | options)


@pytest.fixture
def trained(trained, monkeypatch):
    """Train a small network, without its pictures, and return its folder."""
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    return trained


def read(run):
    return read_robustness(run, "joint", ["benign", "malignant", "normal"], load_split(run.split))


@pytest.mark.slow
def test_a_run_is_tested_on_corrupted_images_once(trained, caplog):
    run = trained("model=joint_unet")
    folder = run.path / "robustness"

    def make(**options):
        caplog.clear()
        evaluate_run(run, request(robustness=True, robustness_options=OPTIONS | options))
        return {file.name: file.stat().st_mtime_ns for file in folder.glob("*.csv")}

    first = make()
    assert set(first) == {"clean.csv", "crop-5.csv", "speckle-5.csv"}
    own = pd.read_csv(run.cases, dtype=str).query("split == 'test'").reset_index(drop=True)
    assert pd.read_csv(folder / "clean.csv", dtype=str).equals(own)  # bit by bit, in the same columns
    tables = read(run)
    pixels = {level: table.set_index("id")[list(COUNTS)].sum(axis=1) for level, table in tables.items()}
    assert set(tables) == {CLEAN, CROP, SPECKLE}
    assert np.allclose(pixels[CROP] / pixels[CLEAN], 0.25, atol=0.02)
    assert pixels[SPECKLE].equals(pixels[CLEAN])
    has_lesion = {level: (table["tp"] + table["fn"] > 0).tolist() for level, table in tables.items()}
    assert has_lesion[CROP] == has_lesion[CLEAN]
    columns = [name for name in tables[CLEAN] if name.startswith("prob_")]
    for level in (CROP, SPECKLE):
        assert not np.allclose(tables[level][columns], tables[CLEAN][columns], atol=1e-4)

    assert make() == first
    more = make(strengths=[1, 5])
    assert set(more) == {*first, "crop-1.csv", "speckle-1.csv"}
    assert {name: more[name] for name in first} == first
    (folder / "crop-5.csv").write_text("id\n")
    (folder / "speckle-1.csv").unlink()
    content = (folder / "speckle-5.csv").read_bytes()
    again = make(strengths=[1, 5])
    assert "crop-5.csv is made again" in caplog.text
    assert {name for name in more if again[name] != more[name]} == {"crop-5.csv", "speckle-1.csv"}

    made = json.loads((folder / "made.json").read_text())
    made["made_with"]["weights"] = "those of an earlier training"
    (folder / "made.json").write_text(json.dumps(made))
    with_new_weights = make()
    assert set(with_new_weights) == set(first)  # and nothing of the other weights is left
    assert all(with_new_weights[name] != again[name] for name in with_new_weights)
    assert (folder / "speckle-5.csv").read_bytes() == content
    assert len(pd.read_csv(folder / "clean.csv")) > 5
    with owned(run.path), pytest.raises(OccupiedError, match="is in use by process"):
        make(images=5)  # beside another that writes the same files
    make(images=5)
    assert [len(pd.read_csv(file)) for file in folder.glob("*.csv")] == [5, 5, 5]


@pytest.mark.slow
def test_a_classifier_gets_the_baselines_of_its_split(trained, phantom_copy, caplog):
    run = trained("model=alexnet")
    split, classes = load_split(run.split), ["benign", "malignant", "normal"]
    evaluate_run(run, request(baselines=True))
    tables = {name: read_baseline(run, name, classes, split) for name in BASELINES}
    for table in tables.values():
        assert sorted(table.loc[table["split"] == "test", "id"]) == split.test
        assert sorted(table.loc[table["split"] == "val", "id"]) == split.val
        assert table[["prob_benign", "prob_malignant", "prob_normal"]].sum(axis=1).to_numpy() == pytest.approx(1)
    normal = tables["lesion_size"]["label"] == "normal"
    assert (tables["lesion_size"].loc[normal, "prob_normal"] > 0.8).all()  # an empty mask gives it away
    assert (tables["lesion_size"].loc[~normal, "prob_normal"] < 0.2).all()
    caplog.clear()
    for file in (phantom_copy / "normal").glob("normal (1)*"):
        file.unlink()
    elsewhere = request(root=str(phantom_copy), split="all", baselines=True, robustness=True)
    result = evaluate_run(run, elsewhere)
    assert "tested on the run's own parts: leave out split, data and predict." in caplog.text
    assert not (result.path / "baselines").exists()
    assert (result.path / "robustness" / "crop-5.csv").is_file()
    assert not (run.path / "robustness").exists()


def test_wrong_options_are_refused_before_any_evaluation(tmp_path):
    for options, message in (
        ({"corruptions": ["fog"]}, "robustness_options.corruptions: fog is unknown: choose from speckle, gain"),
        ({"strengths": [0]}, "robustness_options.strengths: 0 is unknown: choose from 1, 2, 3, 4, 5"),
        ({"corruptions": []}, "robustness_options.corruptions is empty"),
        ({"images": 0}, "robustness_options.images=0: give at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate_runs(request(runs=str(tmp_path), robustness=True, robustness_options=OPTIONS | options))


@pytest.mark.parametrize("option", ["robustness", "baselines"])
def test_an_ensemble_is_refused_in_one_line(option):
    from bus_lightning.training.ensembles import evaluate_ensembles

    with pytest.raises(UserError, match=f"{option}=true is measured on single networks"):
        evaluate_ensembles(request(runs="runs/demo/*", ensemble="seeds", **{option: True}))
