"""Precisions are compared on images that no network has seen, if there are any."""

from types import SimpleNamespace

from bus_lightning.export.variants import choose_compared


def opened(val: str, test: str):
    """Stand for a rebuilt run, of which only the split is read; each letter is an image."""
    return SimpleNamespace(run=SimpleNamespace(split=SimpleNamespace(val=[*val], test=[*test])))


def test_networks_of_one_split_are_compared_on_what_all_held_out():
    assert choose_compared([opened("a", "bc"), opened("ad", "bc")]) == (["a", "b", "c"], True)
    assert choose_compared([opened("a", "")]) == (["a"], True)


def test_folds_are_compared_on_their_test_images_also_with_two_networks_of_one_fold():
    assert choose_compared([opened("", "ab"), opened("", "cd")]) == ([*"abcd"], False)
    assert choose_compared([opened("", "ab"), opened("", "ab"), opened("", "cd")]) == ([*"abcd"], False)
