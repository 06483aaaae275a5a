"""The number of images under a figure."""

import pandas as pd

from bus_lightning.report.figures.inputs import images_in


def cases(ids, replicates=1):
    return pd.concat([pd.DataFrame({"id": list(ids), "replicate": place}) for place in range(replicates)])


def test_an_image_counts_once_however_many_replicates_predicted_it():
    assert images_in("test", {"resnet34": cases("abc", 2)}) == "n = 3 test images, 2 replicates of each model"


def test_validation_images_that_folds_share_are_counted_once_and_their_predictions_named():
    text = "n = 3 validation images (5 predictions, because folds share them)"
    assert images_in("val", {"resnet34": cases("abcab")}) == text
