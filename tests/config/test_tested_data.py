"""An evaluation takes every option that chooses images, and refuses those of the training."""

import pytest

from bus_lightning.config.schema import EVALUATE
from bus_lightning.config.tested_data import refuse_training_options
from bus_lightning.core.errors import UserError


@pytest.mark.parametrize(
    "override", ["data.size=32", "data.split.fold=1", "+data.batch_size=2", "~data.cache", "data.mean=[0,0,0]"]
)
def test_options_of_the_training_are_refused_and_not_ignored(override):
    key = override.strip("+~").partition("=")[0]
    with pytest.raises(UserError, match=rf"an evaluation takes {key} from each run: leave it out"):
        refuse_training_options(["data=bus_bra", "data.root=x", override])


def test_every_option_that_chooses_images_is_taken():
    refuse_training_options([f"data.{key.partition('.')[2]}=x" for key in EVALUATE if key.startswith("data.")])
    refuse_training_options(["data=[busi,bus_bra]", "data.sets.busi.root=x", "runs=data.size=3", "split=own"])
