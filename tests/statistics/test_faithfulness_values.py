"""The table of heat maps, as it is read back for a report."""

import pandas as pd
import pytest
from test_faithfulness import measured

from bus_lightning.core.errors import DamagedError
from bus_lightning.statistics.faithfulness import read_maps, summarise_maps


@pytest.fixture
def written(tmp_path):
    normal = measured([None, None], "normal").assign(energy=None, chance=None)
    maps = pd.concat([measured([1, 0, 1]), normal], ignore_index=True)
    maps.to_csv(tmp_path / "maps.csv", index=False)
    return tmp_path / "maps.csv", {id_: k for k, id_ in enumerate(maps["id"])}


def test_maps_of_images_without_a_lesion_are_read_and_not_measured(written):
    file, groups = written
    maps = read_maps(file, groups)
    assert maps["chance"].isna().tolist() == [False] * 3 + [True] * 2
    rows = summarise_maps(maps, groups).set_index("class")
    assert rows["images"].to_dict() == {"benign": 3, "all": 3}
    assert rows.loc["all", "pointing"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("column", "value"), [("energy", 1.5), ("chance", -0.1), ("pointing", 2)])
def test_an_impossible_share_of_a_map_is_refused(written, column, value):
    file, groups = written
    maps = pd.read_csv(file)
    maps.loc[1, column] = value
    maps.to_csv(file, index=False)
    with pytest.raises(DamagedError, match=column):
        read_maps(file, groups)


def test_a_map_of_a_foreign_image_is_refused(written):
    file, groups = written
    groups.pop("benign/2")
    with pytest.raises(DamagedError, match="is not an image of split"):
        read_maps(file, groups)
