"""Tests leave no handler of signals to the tests after them."""

import signal

from torch.utils.data import DataLoader


def test_the_loader_of_images_installs_a_handler_for_the_ends_of_its_workers():
    assert len(list(DataLoader([1, 2, 3, 4], num_workers=1, batch_size=None))) == 4


def test_no_handler_is_left_by_the_test_before():
    assert not callable(signal.getsignal(signal.SIGCHLD))
