"""Pictures in a report are named by their image, with or without a folder."""

import pytest

from bus_lightning.report.figures.tiles import label


@pytest.mark.parametrize(
    ("id_", "name"),
    [
        ("case001", "case001"),
        ("benign/benign (1)", "benign (1)"),
        ("benign/scan 7", "benign: scan 7"),
        ("busi/benign/benign (1)", "busi: benign/benign (1)"),
        ("a-name-of-more-than-thirty-characters", "a-name-of-more-than-thirty-ch…"),
    ],
)
def test_an_image_is_named_with_its_folder_if_it_has_one(id_, name):
    assert label(id_, 30) == name


def test_an_image_without_a_folder_has_a_label_in_figures():
    assert label("bus_0001-l", 20) == "bus_0001-l"
    assert label("benign/benign (1)", 20) == "benign (1)"
    assert label("busi/benign/benign (1)", 30) == "busi: benign/benign (1)"
