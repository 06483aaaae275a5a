"""Which epoch is kept where its score, or even its loss, is no number."""

import math

import pytest
from small_runs import SMALL
from test_undefined_scores import Measured

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_an_epoch_whose_loss_is_a_number_comes_before_later_ones_without(trained, adding):
    never = dict.fromkeys(range(3), math.nan)
    adding(Measured(never), Measured({1: math.nan, 2: math.nan}, "val/loss"))
    run = trained(*SMALL, "trainer.max_epochs=3", "trainer.limit_train_batches=1", "scheduler=none")
    assert (run.status["kept_epoch"], run.status["kept_by"], run.status["score"]) == (0, "val/loss", None)
