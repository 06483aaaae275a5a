"""A run on a set that states the size of pixels gives millimetres that can be checked by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import binary_erosion, distance_transform_edt

from bus_lightning.core.errors import OccupiedError
from bus_lightning.metrics.columns import COUNTS, LESIONS, MILLIMETRES, PROBABILITY, SURFACE
from bus_lightning.report.making import make_report
from bus_lightning.training import train

KNOWN = 0.08


@pytest.fixture(scope="module")
def hospital(phantom, tmp_path_factory):
    """Write a table of the phantom's images, of which every third does not state the size of a pixel."""
    rows = []
    for path in sorted(phantom.glob("*/*.png")):
        if "_mask" not in path.name:
            masks = sorted(path.parent.glob(f"{path.stem}_mask*.png"))
            rows.append({"file": path, "masks": ";".join(map(str, masks)), "class": path.parent.name,
                         "size": "" if len(rows) % 3 == 2 else KNOWN})  # fmt: skip
    table = tmp_path_factory.mktemp("hospital") / "table.csv"
    frame = pd.DataFrame(rows)
    for name in ("file", "masks"):
        frame[name] = frame[name].astype(str).str.replace(f"{phantom}/", "")
    frame.to_csv(table, index=False)
    return table


@pytest.mark.slow
@pytest.mark.parametrize("model", ["u2net_lite", "joint_unet"])
def test_cases_hold_millimetres_where_the_size_of_a_pixel_is_known(trained, hospital, phantom, model):
    columns = "{image: file, mask: masks, class: class, mm_per_pixel: size}"
    run = trained(f"model={model}", "data=table", f"data.table={hospital}", f"+data.columns={columns}")
    cases = pd.read_csv(run.cases).query("split == 'test'").set_index("id")
    assert [name for name in cases if not name.startswith(PROBABILITY)][2:] == [
        *COUNTS,
        *SURFACE,
        *LESIONS,
        *MILLIMETRES,
    ]
    table = pd.read_csv(hospital)
    known = dict(zip(table["file"].str.removesuffix(".png"), table["size"].notna(), strict=True))
    lesions = 0
    for id_, row in cases.iterrows():
        if not known[id_]:
            assert row[[*MILLIMETRES]].isna().all()
            continue
        masks = sorted(phantom.glob(f"{id_}_mask*.png"))
        predicted = np.array(Image.open(run.masks / f"{id_}.png")) > 0
        truth = np.any([np.array(Image.open(mask).convert("L")) > 127 for mask in masks] or [0 * predicted], axis=0)
        distance = expected_distance(predicted, truth)
        assert row["hd95_mm"] == pytest.approx(distance, rel=1e-5, nan_ok=True)
        lesions += int(truth.any())
        assert (row["area_mm2"] > 0) == truth.any()
    test = json.loads(run.metrics_file.read_text())["test"]
    assert test["lesions_in_mm"] == lesions
    assert 0 < lesions < (cases["tp"] + cases["fn"] > 0).sum()
    assert test["hd95_mm"] == pytest.approx(cases["hd95_mm"].mean())
    assert test["long_axis_error_mm"] == pytest.approx(
        (cases["predicted_long_axis_mm"] - cases["long_axis_mm"])[cases["area_mm2"] > 0].abs().mean()
    )
    report = make_report([run.path.parent]).parent / "report.md"
    assert f"known for {sum(known[id_] for id_ in cases.index)} of {len(cases)} test images" in report.read_text()


def expected_distance(predicted, truth):
    """Compute the 95th percentile of the distances of the outlines in millimetres, with SciPy alone."""
    if not truth.any():
        return np.nan
    if not (predicted & truth).any():
        return KNOWN * np.hypot(*truth.shape)
    edges = [mask & ~binary_erosion(mask) for mask in (predicted, truth)]
    return max(
        np.percentile(distance_transform_edt(~other, sampling=(KNOWN, KNOWN))[own], 95)
        for own, other in (edges, edges[::-1])
    )


@pytest.mark.slow
def test_a_run_whose_size_of_a_pixel_was_corrected_is_not_skipped(composed, hospital, phantom, tmp_path):
    """Its millimetres would stay wrong."""
    table = Path(shutil.copy(hospital, tmp_path / "table.csv"))
    columns = "+data.columns={image: file, mask: masks, class: class, mm_per_pixel: size}"
    options = ["model=unet", "data=table", f"data.table={table}", columns, "name=sizes"]
    train.run(composed(*options))
    train.run(composed(*options))  # is skipped
    table.write_text(table.read_text().replace("0.08", "0.09"))
    with pytest.raises(OccupiedError, match="holds another experiment: it differs in data"):
        train.run(composed(*options))
