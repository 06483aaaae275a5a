"""The page stops at Ctrl-C."""

import pytest
from page_server import Server, make_page_bundle

pytest.importorskip("gradio", reason="needs gradio: pip install -e '.[app]'")
# A signal for a process goes to any of its threads that the system chooses; Python runs the handler in the main thread.
CODE = """
import signal, sys, threading, time
from pathlib import Path
from bus_lightning.diagnosis.app import main

def receive():
    while not Path("stop").exists():
        time.sleep(0.05)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=receive, daemon=True).start()
sys.exit(main())
"""


@pytest.mark.slow
def test_the_page_stops_when_another_thread_receives_ctrl_c(tmp_path):
    server = Server(make_page_bundle(tmp_path / "bundle"), tmp_path, code=CODE)
    try:
        (server.work / "stop").touch()
        assert server.process.wait(60) == 0
    finally:
        server.process.kill()
        server.process.wait()
