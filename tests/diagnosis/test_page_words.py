"""The words of the page say what is drawn and measured, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from page_server import make_page_bundle
from tiny_bundle import speckled, with_disc

from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.measurements import measure
from bus_lightning.diagnosis.page.view import View
from bus_lightning.diagnosis.page.wording import describe


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(make_page_bundle(tmp_path_factory.mktemp("words") / "bundle"))


@pytest.fixture(scope="module")
def shown(bundle):
    image = with_disc(speckled(1)[0])
    (diagnosis,) = Diagnoser(bundle, threads=1).diagnose([Frame(image)])
    return View("a" * 12, image, diagnosis, image.shape[:2], None, None, "a bundle")


def words_of(view, bundle, **changes):
    return describe(replace(view, diagnosis=replace(view.diagnosis, **changes)), bundle)


def test_the_words_name_only_what_is_drawn(shown, bundle):
    drawn = words_of(shown, bundle)
    assert drawn.picture == "The image, with the outline of the lesion and the heat map"
    assert drawn.caption.startswith("Blue line: outline of the lesion. The heat map shows")
    nothing = {name: np.zeros_like(getattr(shown.diagnosis, name)) for name in ("mask", "heat_map")}
    empty = words_of(shown, bundle, **nothing)
    assert empty.picture == "The image"
    assert empty.caption.startswith("No lesion was outlined. The heat map is empty")


def test_a_speck_that_is_drawn_is_not_called_a_lesion(shown, bundle):
    speck = np.zeros((100, 100), bool)
    speck[50, 50] = True
    words = words_of(shown, bundle, mask=speck, measurements=measure(speck))
    assert dict(words.measurements) == {"Lesion": "none outlined"}
    assert words.caption.startswith("Blue line: a speck of less than 0.05% of the image, which does not count")
    assert words.picture == "The image, with the outline of a speck and the heat map"


def test_a_nearly_level_lesion_has_a_direction_of_0_degrees(shown, bundle):
    for degrees, written in ((-0.3, "0°"), (0.3, "0°"), (-0.7, "-1°"), (90.0, "90°")):
        tilted = replace(shown.diagnosis.measurements, orientation_deg=degrees)
        measured = dict(words_of(shown, bundle, measurements=tilted).measurements)
        assert measured["Direction of the long axis"] == f"{written} (0° is level)"
