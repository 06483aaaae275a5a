"""Each of two options that do not go together is refused alone, and named."""

import pytest

from bus_lightning.config.rules import check
from bus_lightning.core.errors import UserError


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("overlay.style=class_mark", "overlay.style=class_mark shows the true class"),
        ("overlay.color_by_class=[[255,0,0],[0,255,0],[0,0,255]]", "overlay.color_by_class shows the true class"),
    ],
)
def test_a_drawing_that_shows_the_true_class_never_uses_predicted_masks(composed, override, named):
    with pytest.raises(UserError, match=named):
        check(composed("model=resnet34", "overlay=predicted", override))
    check(composed("model=resnet34", "overlay=contour", override))  # the truth may be drawn in any way


def test_a_mask_is_a_fourth_channel_of_coloured_images_and_may_be_drawn_into_grey_ones(composed):
    with pytest.raises(UserError, match=r"overlay\.style=channel adds a fourth channel"):
        check(composed("model=resnet34", "overlay=channel", "data.channels=1"))
    check(composed("model=resnet34", "overlay=channel"))
    check(composed("model=resnet34", "overlay=fill", "data.channels=1"))
