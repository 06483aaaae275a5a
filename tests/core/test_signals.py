"""The first signal is handled once, a second one ends the process; a foreign folder is never replaced."""

import os
import signal
import subprocess
import sys

import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import refuse_foreign
from bus_lightning.core.interruption import at_first_signal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_handled_and_the_handlers_before_come_back(number):
    before, received = signal.getsignal(number), []
    with at_first_signal(received.append):
        os.kill(os.getpid(), number)
        assert received == [number]
        assert signal.getsignal(number) == signal.SIG_DFL, "a second one would end the process"
    assert signal.getsignal(number) == before


def test_a_second_signal_ends_the_process_at_once():
    script = (
        "import os, signal; from bus_lightning.core.interruption import at_first_signal\n"
        "with at_first_signal(lambda number: print('first', flush=True)):\n"
        "    os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM); print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "first\n")


def test_only_a_free_or_own_folder_is_replaced(tmp_path):
    def is_own(folder):
        return (folder / "mark").is_file()

    refuse_foreign(tmp_path / "new", is_own, "no")
    (empty := tmp_path / "empty").mkdir()
    refuse_foreign(empty, is_own, "no")
    (empty / "theirs").write_text("")
    with pytest.raises(UserError, match=r"^no$"):
        refuse_foreign(empty, is_own, "no")
    (empty / "mark").write_text("")
    refuse_foreign(empty, is_own, "no")
    with pytest.raises(UserError, match=r"^no$"):
        refuse_foreign(empty / "mark", is_own, "no")
