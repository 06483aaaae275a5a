"""The message about an image that cannot be read names the file once, and says once what to do."""

import os

import numpy as np
import pytest
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image, read_predicted_mask, read_single_mask

GREY = Image.new("L", (40, 40))


def save_the_beginning(path):
    GREY.save(path)
    path.write_bytes(path.read_bytes()[:200])


FILES = {
    "not-a-number.tif": lambda path: Image.fromarray(np.full((40, 40), np.nan, "float32")).save(path),
    "two-pages.tif": lambda path: GREY.save(path, save_all=True, append_images=[GREY]),
    "cut.tif": save_the_beginning,
    "text.png": lambda path: path.write_text("text"),
    "pipe.png": os.mkfifo,
    "missing.png": lambda path: None,
}
CURES = ("replace", "save", "export", "copy", "check its name", "train its segmenter")


@pytest.fixture(params=FILES)
def file(request, tmp_path):
    path = tmp_path / request.param
    FILES[request.param](path)
    return path


def check_message(error, file, ending):
    message = str(error)
    assert message.count(file.name) == sum(message.lower().count(cure) for cure in CURES) == 1
    assert message.endswith(ending)


def test_an_image_has_one_cure_or_is_skipped(file):
    with pytest.raises(UserError) as raised:
        read_image(file)
    check_message(raised.value, file, ", or pass data.skip_unreadable=true.")


def test_a_predicted_mask_has_the_cure_of_a_run(file):
    with pytest.raises(UserError) as raised:
        read_predicted_mask(file, (40, 40))
    check_message(raised.value, file, ". Train its segmenter again with rerun=true.")


@pytest.mark.parametrize("file", ["cut.tif", "text.png", "pipe.png", "missing.png"], indirect=True)
def test_a_mask_has_one_cure_or_is_skipped(file):
    with pytest.raises(UserError) as raised:
        read_single_mask(file, (40, 40))
    check_message(raised.value, file, ", or pass data.skip_unreadable=true.")
