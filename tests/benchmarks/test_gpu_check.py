"""The check of a GPU keeps to its time, names what it did not measure, and runs whole on a CPU."""

import json
import os
import subprocess
import time
from datetime import datetime

import pytest

from benchmarks import report
from benchmarks.gpu import check as checking
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.parts import PAPER, Settings
from benchmarks.gpu.tables import page_tables, tables
from benchmarks.gpu.watch import watched
from benchmarks.processes import MeasurementError

TINY = ("data=phantom", "data.phantom.images=42", "data.split.ratio=[3,1,1]", "data.size=32", "data.batch_size=4",
        "callbacks.progress=null", "trainer.enable_progress_bar=false")  # fmt: skip


@pytest.fixture
def settings(tmp_path):
    def make(**changes):
        tests = ("tests/benchmarks/test_gpu_check.py::test_a_machine_without_nvidia_smi_gives_no_samples",)
        usual = {"device": "cpu", "models": ("resnet34", "u2net_lite"), "options": TINY, "epochs": 3, "bare_steps": 2}
        return Settings(**usual | {"debug_size": True, "tests": tests, "folder": tmp_path / "gpu"} | changes)

    return make


@pytest.mark.nightly
def test_every_part_runs_on_a_cpu(settings, tmp_path):
    data = (f"data.root={tmp_path / 'phantom'}",)
    results = checking.check(settings(seconds=3000, options=TINY + data), lambda partial: json.dumps(partial))
    assert results["missing"] == {}
    parts = results["parts"]
    assert list(parts) == ["device", "bare", "host", "resumed", "tests"]
    for name, held in (("device", True), ("host", False)):
        assert parts[name]["stopped"] == ""
        for model in ("resnet34", "u2net_lite"):
            network = parts[name]["networks"][model]
            assert network["on_device"] is held
            assert network["shape"] == [4, 3, 32, 32]
            assert network["images_per_second"] > 0
            assert 0 < 3 * network["epoch"] < 3 * network["seconds"]
    assert parts["bare"]["images_per_second"].keys() == {"resnet34", "u2net_lite"}
    assert parts["resumed"]["same"] == dict.fromkeys(("cases.csv", "metrics.json", "history.csv"), True)
    assert parts["tests"] == {"passed": 1, "failed": [], "skipped": 0}


@pytest.fixture
def waiting(monkeypatch):
    """Parts that take a given time, each in a separate process."""

    def replace(**seconds):
        def wait(length):
            def part(settings, limit, _):
                settings.run(["python", "-S", "-c", f"import time; time.sleep({length})"], limit)
                return {"waited": length}

            return part

        parts = {name: (wait(length), 1 / len(seconds)) for name, length in seconds.items()}
        monkeypatch.setattr(checking, "PARTS", parts)

    return replace


@pytest.mark.slow
def test_a_part_that_takes_too_long_is_ended_and_named_and_the_next_one_has_its_share(waiting, settings, monkeypatch):
    length = 600 + os.getpid()  # another suite on this machine waits another time
    waiting(long=length, short=0)
    monkeypatch.setattr(checking, "_LEAST", 0.1)
    saved = []
    results = checking.check(settings(seconds=8), lambda partial: saved.append(json.dumps(partial)))
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"time.sleep({length})" not in commands
    assert results["missing"] == {"long": "did not fit into 4 s"}
    assert results["parts"] == {"short": {"waited": 0}}
    assert len(saved) == 2, "the result is saved after each part"
    assert json.loads(saved[0])["missing"] == {"long": "did not fit into 4 s"}


def test_what_does_not_fit_is_not_begun(waiting, settings):
    waiting(one=0, two=0)
    results = checking.check(settings(seconds=3), lambda _: None)
    assert results["missing"] == dict.fromkeys(("one", "two"), "the time was used up")


def test_a_part_that_fails_is_named_with_its_reason(waiting, settings, monkeypatch):
    waiting(one=0, two=0)

    def fail(settings, limit, _):
        settings.run(["python", "-S", "-c", "raise SystemExit(3)"], limit)

    monkeypatch.setitem(checking.PARTS, "one", (fail, 0.5))
    results = checking.check(settings(), lambda _: None)
    assert results["missing"] == {"one": "exit code 3"}
    assert list(results["parts"]) == ["two"]


def test_without_networks_the_bare_loops_are_not_run(settings):
    with pytest.raises(MeasurementError, match="no network was trained"):
        checking.run_bare_loops(settings(), 60, {})


def test_samples_are_means_over_the_time_that_is_asked_for():
    lines = ("03.500, [N/A], 5", "04.000, 50, 2000", "04.250, 70, 1000")
    printed = "; ".join(f"echo '2026/02/03 10:20:{line}'" for line in lines)
    with watched(["sh", "-c", f"{printed}; sleep 600"]) as samples:
        deadline = time.monotonic() + 60
        while len(samples.seen) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    first = datetime(2026, 2, 3, 10, 20, 4).timestamp()
    second = first + 0.25
    assert samples.between(first, second) == {"utilisation": 60, "used_mb": 2000}
    assert samples.between(second, second + 1) == {"utilisation": 70, "used_mb": 1000}
    assert samples.between(second + 1, second + 2) is None


def test_a_machine_without_nvidia_smi_gives_no_samples(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with watched() as samples:
        pass
    assert samples.between(0, time.time()) is None


@pytest.mark.slow
def test_epochs_are_timed_without_their_first_steps(trained, tmp_path):
    clock = tmp_path / "clock.json"
    trained("model=resnet34", "trainer.max_epochs=2", "data.batch_size=4", f"+callbacks.epochs.path={clock}",
            "+callbacks.epochs._target_=benchmarks.gpu.callbacks.Epochs")  # fmt: skip
    content = json.loads(clock.read_text())
    assert len(content["epochs"]) == len(content["spans"]) == 2
    batch, *_ = content["shape"]
    assert batch == 4
    images = {images for images, _ in content["spans"]}
    assert len(images) == 1
    assert all(seconds > 0 for _, seconds in content["spans"])
    assert content["epochs"][0] < content["epochs"][1]


def test_a_machine_without_a_gpu_is_one_line_and_an_error(monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main([]) == 1
    assert capsys.readouterr().out == "No GPU: PyTorch sees no CUDA device, so nothing was measured.\n"


@pytest.mark.parametrize("minutes", ["0", "nan", "inf", "-1"])
def test_a_time_that_is_not_a_positive_number_is_refused(minutes, capsys):
    with pytest.raises(SystemExit):
        main([f"--minutes={minutes}"])
    assert "--minutes: give a number above 0" in capsys.readouterr().err


def test_without_results_the_page_says_that_nothing_was_measured(tmp_path):
    shown = page_tables(tmp_path)
    assert shown.keys() == {"gpu", "gpu_checks"}
    assert all(text.startswith("**Not measured**: no GPU was at hand.") for text in shown.values())


@pytest.fixture
def results():
    """Made-up results of all networks."""
    network = {"images_per_second": 900.0, "epoch": 0.5, "seconds": 6.0, "shape": [16, 3, 224, 224],
               "precision": "bf16", "layout": "channels_last", "on_device": True, "peak_mb": 2000.0,
               "seen": {"utilisation": 80.0, "used_mb": 3000.0}}  # fmt: skip
    part = {"networks": {model: dict(network) for model in PAPER}, "start": 12.0, "epochs": 4, "stopped": ""}
    host = {"networks": {"alexnet": network | {"images_per_second": 450.0}}, "stopped": "did not fit into 90 s"}
    return {"card": "a card", "missing": {"tests": "exit code 4"}, "parts": {
        "device": part, "bare": {"images_per_second": {"alexnet": 1000.0}, "stopped": ""}, "host": host,
        "resumed": {"same": {"cases.csv": True, "history.csv": False}}}}  # fmt: skip


def test_tables_name_the_card_and_mark_what_was_not_measured(results):
    shown = tables(results)
    assert shown["gpu"].startswith("On **a card**.")
    rows = {line.split(",")[0]: line for line in shown["gpu"].splitlines() if line.startswith("| ") and "²" in line}
    assert rows["| alexnet"] == (
        "| alexnet, 16 x 224², bf16, channels_last | 900 | 1000 | 0.90 | 0.9 | 450 | 2.00 | 0.50 | 80% | 2000 |"
    )
    assert rows["| resnet50"].endswith("| 900 | not measured |  | 0.9 | not measured |  | 0.50 | 80% | 2000 |")
    assert shown["gpu_checks"].splitlines()[2:] == [
        # 12 s of start; of each of six runs, 100 epochs of 0.5 s and the 4 s that are no epochs.
        "| the paper's grid | 5.6 minutes for 6 networks of 100 epochs, computed from 4 | under 10 minutes |",
        "| a stopped and resumed run | other bits in history.csv | the same bits |",
        "| Run the tests that need a GPU | not measured: exit code 4 |  |",
        "| Train all networks with their images in the host's memory | in part: did not fit into 90 s |  |",
    ]


@pytest.mark.parametrize("trouble", ["none", "missing", "stopped", "failed", "skipped", "differs"])
def test_any_trouble_in_the_results_is_an_error(results, trouble):
    parts = results["parts"]
    results["missing"] = {"tests": "exit code 4"} if trouble == "missing" else {}
    parts["host"]["stopped"] = "exit code 1" if trouble == "stopped" else ""
    parts["tests"] = {"passed": int(trouble != "skipped"), "failed": ["test_a"] if trouble == "failed" else [],
                      "skipped": 1}  # fmt: skip
    parts["resumed"]["same"]["history.csv"] = trouble != "differs"
    assert checking.is_well(results) is (trouble == "none")


def test_the_grid_is_not_guessed_from_some_of_its_networks(results):
    del results["parts"]["device"]["networks"]["resnet50"]
    assert "| not known: resnet50 not measured |" in tables(results)["gpu_checks"]


def test_results_name_no_path(settings, waiting, tmp_path):
    waiting(one=0)
    results = checking.check(settings(), lambda partial: report.save(tmp_path, "gpu", {}, partial))
    assert report.load(tmp_path, "gpu") == results
    assert str(tmp_path) not in (tmp_path / "gpu.json").read_text()
