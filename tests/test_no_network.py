"""No command reports to anybody: watched by its system calls, it contacts no other machine and looks up no name."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from watching import ROOT, Watched, watch

from bus_lightning.core.telemetry import SWITCHES

KEPT = ROOT / "tests" / "kept"
FONTS = re.compile(r"\.cache/matplotlib/fontlist-.*\.json")  # matplotlib's list of the fonts of this machine
# TEST-NET-1 and .invalid belong to nobody.
CONTACTS = {
    "a connection": "socket.socket().connect_ex(('192.0.2.1', 9))",
    "a datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))",
    "a connection over IPv6": "socket.socket(socket.AF_INET6).connect_ex(('2001:db8::1', 9))",
    "a connection of native code": "ctypes.CDLL(None).connect(socket.socket().detach(), "
    "struct.pack('=H', socket.AF_INET) + struct.pack('!H4B8x', 9, 192, 0, 2, 1), 16)",
    "a child's connection": "subprocess.run([sys.executable, '-c', "
    "'import socket; socket.socket().connect_ex((\"192.0.2.1\", 9))'])",
}
SMALL = ("model=efficientnet_lite0", "model.name=tiny", "model.weights=null", "model.net.model_name=resnet18",
         "+model.net.layers=[1,1,1,1]", "+model.net.channels=[8,8,8,8]", "data=phantom", "data.phantom.images=42",
         "data.split.ratio=[3,1,1]", "data.batch_size=8", "data.size=32", "trainer.accelerator=cpu",
         "trainer.precision=32-true", "trainer.max_epochs=1", "print_config=false")  # fmt: skip


@pytest.fixture
def project(tmp_path):
    """A folder with two finished runs and their images, for commands that start in it."""
    shutil.copytree(KEPT / "data", tmp_path / "data")
    shutil.copytree(KEPT / "runs" / "two_stage", tmp_path / "runs" / "two_stage")
    return tmp_path


@pytest.mark.parametrize("contact", CONTACTS)
def test_the_watch_sees(contact, tmp_path):
    modules = "import ctypes, socket, struct, subprocess, sys; socket.setdefaulttimeout(0.1)"
    watched = watch(["-c", f"{modules}\n{CONTACTS[contact]}"], tmp_path)
    assert len(watched.contacts()) == 1
    assert re.fullmatch(r"(192\.0\.2\.1|2001:db8::1) port 9", watched.contacts()[0])


def test_the_watch_sees_that_a_name_is_looked_up(tmp_path):
    watched = watch(["-c", "import socket\ntry: socket.getaddrinfo('host.invalid', 9)\nexcept OSError: pass"], tmp_path)
    assert watched.contacts()


def test_the_watch_ignores_connections_to_this_machine(tmp_path):
    code = (
        "import socket; server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname())"
    )
    assert not watch(["-c", code], tmp_path).contacts()


def test_the_package_switches_reports_off_before_any_library_is_imported(tmp_path):
    code = (
        "import json, os, sys\n"
        "before = set(sys.modules)\n"
        "import bus_lightning\n"
        "packages = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(json.dumps([dict(os.environ), sorted(packages - set(sys.stdlib_module_names))]))\n"
    )
    changed = {name: "1" if value in ("0", "false", "False") else "0" for name, value in SWITCHES.items()}
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT), **changed}, cwd=tmp_path,
                          capture_output=True, text=True, check=True)  # fmt: skip
    environment, packages = json.loads(done.stdout)
    assert packages == ["bus_lightning", "openvino_telemetry"]
    assert {name: environment[name] for name in SWITCHES} == SWITCHES


@pytest.mark.slow
def test_training_that_is_recorded_by_wandb_without_a_login_contacts_nobody(tmp_path):
    watched = watch([ROOT / "train.py", *SMALL, "name=tiny"], tmp_path)
    assert "tiny" in watched.wait()
    assert list(tmp_path.glob("runs/classification/tiny/wandb/offline-run-*/*.wandb"))
    assert not watched.contacts()
    sync = Watched(["-m", "bus_lightning.tracking", "sync", "runs"], tmp_path)
    assert "Nobody is logged in" in sync.wait(expected=1)
    assert not sync.contacts()


@pytest.mark.slow
def test_export_with_all_precisions_contacts_nobody_and_leaves_nothing_in_the_home(project):
    watched = watch(["-m", "bus_lightning.export", "--run", "runs/two_stage/segmenter-null",
                     "runs/two_stage/classifier-null", "--out", "bundle"], project)  # fmt: skip
    assert (project / "bundle" / "segmenter.int8.onnx").is_file()
    assert not watched.contacts()
    assert not [file for file in watched.home_files() if not FONTS.fullmatch(file)]  # torchmetrics imports matplotlib


def test_predict_contacts_nobody_and_leaves_nothing_in_the_home(tmp_path):
    watched = watch(["-m", "bus_lightning.diagnosis.predict", KEPT / "bundle", KEPT / "data" / "phantom" / "benign",
                     "--out", "results"], tmp_path)  # fmt: skip
    assert (tmp_path / "results" / "results.csv").is_file()
    assert not watched.contacts()
    assert not watched.home_files()


@pytest.mark.slow
def test_the_page_contacts_nobody_and_leaves_nothing_in_the_home(tmp_path):
    pytest.importorskip("gradio", reason="needs gradio: pip install -e '.[app]'")
    arguments = ["-m", "bus_lightning.diagnosis.app", KEPT / "bundle", "--port", "0", "--threads", "1"]
    watched = Watched(arguments, tmp_path)
    try:
        answer = ask_page(address_of(watched), KEPT / "data" / "phantom" / "benign" / "benign (1).png")
    finally:
        watched.interrupt()
        watched.wait()
    assert "process_completed" in answer
    assert "malignant" in answer
    assert not watched.contacts()
    assert not [file for file in watched.home_files() if not FONTS.fullmatch(file)]  # Gradio imports it, where it is


@pytest.mark.nightly
@pytest.mark.parametrize(
    "arguments",
    [
        [ROOT / "evaluate.py", "runs='runs/two_stage/*'", "explain=true", "explain_options.images=4"],
        ["-m", "bus_lightning.launch.report", "runs/two_stage"],
        [ROOT / "train.py", "-m", *SMALL, "seed=0,1", "hydra/launcher=joblib", "name=null"],
        [ROOT / "train.py", *SMALL, "sweep=search", "hydra.sweeper.n_trials=1"],
        ["-m", "bus_lightning.data.audit", "data/phantom"],
    ],
    ids=lambda arguments: Path(arguments[1 if arguments[0] == "-m" else 0]).stem + f"-{len(arguments)}",
)
def test_every_other_command_contacts_nobody(arguments, project):
    assert not watch(arguments, project).contacts()


def address_of(watched):
    """Wait until the page answers, and return its address."""
    while not (address := re.search(r"http://\S+/", watched.output.read_text())):
        assert watched.process.poll() is None, watched.output.read_text()
        time.sleep(0.1)
    return address[0]


def ask_page(address, image):
    """Give the page an image as a browser does, and return what it sends back."""
    import httpx

    with httpx.Client(base_url=address, headers={"origin": address.rstrip("/")}, timeout=60) as browser:
        config, _ = json.JSONDecoder().raw_decode(browser.get("").text.partition("window.gradio_config = ")[2])
        (path,) = browser.post("gradio_api/upload", files={"files": (image.name, image.read_bytes())}).json()
        (event,) = [(place, *target) for place, listener in enumerate(config["dependencies"])
                    for target in listener["targets"] if target[1] == "upload"]  # fmt: skip
        question = {"data": [], "event_data": {"path": path}, "fn_index": event[0], "trigger_id": event[1],
                    "session_hash": "watched"}  # fmt: skip
        browser.post("gradio_api/queue/join", json=question).raise_for_status()
        with browser.stream("GET", "gradio_api/queue/data", params={"session_hash": "watched"}) as answers:
            return "".join(answers.iter_text())
