"""Garbage is not collected where objects are made that stay, and is collected as before afterwards."""

import gc
import weakref

import pytest

from bus_lightning.core.garbage import collection_paused, freeze_imports


class Ring:
    """An object that only a collection can remove."""

    def __init__(self):
        self.itself = self


@pytest.fixture(params=[True, False], ids=["enabled", "disabled"])
def enabled(request):
    (gc.enable if request.param else gc.disable)()
    yield request.param
    gc.enable()


def test_nothing_is_collected_within_the_block(enabled):
    with collection_paused():
        lost = weakref.ref(Ring())
        made = [[] for _ in range(100_000)]  # many times what starts a collection
        assert lost() is not None
    assert len(made) == 100_000
    gc.collect()
    assert lost() is None


def test_afterwards_collection_is_as_it_was_also_after_an_error(enabled):
    with collection_paused(), collection_paused():
        pass
    assert gc.isenabled() == enabled
    with pytest.raises(ZeroDivisionError), collection_paused():
        1 / 0  # noqa: B018
    assert gc.isenabled() == enabled


def test_only_the_first_call_freezes_so_that_the_garbage_of_later_work_is_collected():
    freeze_imports()
    number = gc.get_freeze_count()
    kept = [[index] for index in range(1000)]
    freeze_imports()
    assert 0 < gc.get_freeze_count() <= number
    assert len(kept) == 1000
