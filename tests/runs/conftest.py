"""What the tests of runs share: an end to what hangs."""

import signal

import pytest


@pytest.fixture
def no_hanging():
    """End a test that waits for a pipe or reads without end."""

    def stop(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
