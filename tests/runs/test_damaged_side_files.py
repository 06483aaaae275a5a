"""A damaged history, heat map or mask of a run is a finding of the report, and leaves no run out."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bus_lightning.core.errors import DamagedError
from bus_lightning.data.splits import load_split
from bus_lightning.runs.cases import read_cases
from bus_lightning.runs.evaluations import read_evaluation
from bus_lightning.runs.robustness import corruption_values
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import read_group


@pytest.fixture
def explained(finished):
    """A run with heat maps and masks, all whole."""
    run = finished("model=u2net_lite")
    (run.path / "explain").mkdir()
    ids = load_split(run.split).test
    maps = {"id": ids, "label": "benign", "predicted": "benign", "method": "gradcam", "weights": "trained"}
    pd.DataFrame(maps | {"pointing": 1.0, "energy": 0.5, "chance": 0.1}).to_csv(
        run.path / "explain" / "maps.csv", index=False
    )
    cases = read_cases(run.cases).set_index("id")
    for id_ in ids[:3]:
        pixels = int(cases.loc[id_, ["tp", "fp", "fn", "tn"]].sum())
        (run.masks / id_).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((1, pixels), np.uint8)).save(run.masks / f"{id_}.png")
    return run


def damages(run):
    return [
        problem.text for problem in find_problems(read_group(run.path.parent).conditions) if problem.kind == "files"
    ]


def test_whole_side_files_raise_no_finding(explained):
    assert damages(explained) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is not a table"),
        ("epoch,lr\n0,fast\n", "column lr: 'fast' is not a number"),
        ("lr\n0.1\n", "no column epoch"),
        ("epoch,lr\n0,0.1\n1,0.", "cut off in row 2"),
        ("epoch,lr\nx,0.1\n", "column epoch: 'x' is not a number"),
    ],
)
def test_a_damaged_history_is_a_finding_and_in_one_line_where_the_training_goes_on(explained, content, expected):
    explained.history.write_text(content)
    (finding,) = damages(explained)
    assert (str(explained.history) in finding, expected in finding) == (True, True)
    with pytest.raises(DamagedError, match="history"):
        explained.count_epochs()


def test_damaged_heat_maps_and_masks_are_findings(explained):
    maps = explained.path / "explain" / "maps.csv"
    whole = maps.read_text()
    for content, expected in (
        (whole.replace("0.5", "half", 1), "column energy: 'half' is not a number"),
        (whole.replace("benign/benign (21)", "benign/benign (777)", 1), "is not an image of split.json"),
        (whole[:-2], "cut off"),
        ("id\nx\n", "no column"),
    ):
        maps.write_text(content)
        (finding,) = damages(explained)
        assert (str(maps) in finding, expected in finding) == (True, True), content[-100:]
        assert finding.endswith(" Run `evaluate.py explain=true` again.")
    maps.unlink()
    (maps.with_name("heatmaps.png")).write_bytes(b"no picture")
    assert "heatmaps.png is damaged: it cannot be decoded" in damages(explained)[0]
    maps.with_name("heatmaps.png").unlink()
    first, second, _ = sorted(explained.masks.rglob("*.png"))
    was = first.read_bytes()
    first.write_bytes(was[:40])
    assert f"{first} is damaged: it cannot be decoded" in damages(explained)[0]
    first.write_bytes(was)
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(second)
    assert f"{second} is damaged: it has 9 pixels" in damages(explained)[0]


def test_damage_that_an_evaluation_mends_asks_for_no_training(explained):
    for name in ("baselines/statistics.csv", "robustness/clean.csv"):
        file = explained.path / name
        file.parent.mkdir()
        file.write_text("id,split,label\nx,test,benign\n")
        (file.parent / "made.json").write_text(json.dumps({"made_with": {"values": corruption_values()}}))
        (finding,) = damages(explained)
        assert f"{file} is damaged: it has no column" in finding
        assert finding.endswith(f". Run `evaluate.py {file.parent.name}=true` again.")
        file.unlink()
    explained.cases.write_text("id,split,label\n")
    with pytest.raises(DamagedError, match=r"cases\.csv is damaged: .* or evaluate the run again\.$"):
        read_evaluation(explained, None)


def test_a_history_without_an_epoch_has_no_kept_one(explained):
    explained.history.write_text("epoch,val/loss\n")
    with pytest.raises(DamagedError, match=r"history\.csv is damaged: it has no epoch"):
        explained.kept_epoch("val/dice_image", "max")
