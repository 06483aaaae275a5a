"""What the tests share: a small phantom folder, drawn once, and the composed config."""

import gc
import os
import shutil
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from composing import compose_run
from omegaconf import OmegaConf

from bus_lightning.core.garbage import collection_paused
from bus_lightning.core.randomness import stable_hash
from bus_lightning.data.audit import cached_audit
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.data.preprocess import RULES
from bus_lightning.data.sources.folder import read as read_folder
from bus_lightning.data.splits import make_named_split
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.launch.plugins import prefer_our_configs
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import train

pytest_plugins = ["crashes", "small_runs"]
ROOT = Path(__file__).parent.parent
# A browser that asks nothing of the internet, and runs as root.
CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP other-machine.test 127.0.0.1",  # its pages are no secure context
]
os.environ["WANDB_MODE"] = "offline"
os.environ["SQLALCHEMY_SILENCE_UBER_WARNING"] = "1"  # optuna 2 imports in the old way
os.environ["OMP_NUM_THREADS"] = "1"  # for processes that tests start
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of them would compile the package
torch.set_num_threads(1)  # test workers share the cores: more threads would wait for each other
if threading.current_thread() is threading.main_thread():
    # Where the tests run in the background, Ctrl-C is ignored, by them and by what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
with warnings.catch_warnings(), suppress(ImportError):
    warnings.simplefilter("ignore")  # of plugins, as they are imported
    prefer_our_configs()
    import_module("optuna")  # its plugin imports it late, when a warning would be an error and leave it half imported


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep what is imported and collected out of further garbage collections, which would visit a million objects."""
    with collection_paused():
        result = yield
    gc.freeze()
    return result


@pytest.fixture(autouse=True)
def plain_ends_of_processes():
    """Remove the handler that PyTorch's loader of images leaves for the ends of processes.

    It runs on the thread's alternate signal stack, which OpenVINO replaces by its own and does not give back if it is
    unloaded in another thread. The end of a process then ended pytest, with SIGSEGV and without a traceback.
    """
    yield
    if callable(signal.getsignal(signal.SIGCHLD)):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@pytest.fixture(scope="session")
def decoders():
    """A child process that reads files."""
    with Decoders() as decoders:
        yield decoders


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    """A phantom folder of 72 images; tests that change it take `phantom_copy`."""
    folder = tmp_path_factory.mktemp("data") / "phantom"
    draw_phantom(folder, images=72, seed=0)
    return folder


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory):
    """A phantom folder of 12 images, for what is done to many copies; tests that change it take `small_copy`."""
    folder = tmp_path_factory.mktemp("small") / "phantom"
    draw_phantom(folder, images=12, seed=0)
    return folder


@pytest.fixture
def small_copy(small_phantom, tmp_path):
    return Path(shutil.copytree(small_phantom, tmp_path / "small"))


@pytest.fixture
def phantom_copy(phantom, tmp_path):
    return Path(shutil.copytree(phantom, tmp_path / "copy"))


@pytest.fixture(scope="session")
def audit_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def composed(phantom, audit_cache, tmp_path):
    """Compose a config as `train.py` does, on the phantom folder, with small networks and no bars."""

    def make(*overrides, root=phantom):
        return compose_run(overrides, root, audit_cache, tmp_path / "runs")

    return make


@pytest.fixture(scope="session")
def segmenters(phantom, audit_cache, tmp_path_factory):
    """The folder of a segmenter's runs: `whole`, trained on all training images, and `fold0`, `fold1`, cross-fitted."""
    runs = tmp_path_factory.mktemp("segmenters")
    for name, fold in (("whole", "null"), ("fold0", 0), ("fold1", 1)):
        train.run(
            compose_run(
                ["model=unet", "sweep=two_stage", f"name={name}", "data.split.cross_folds=2", "trainer.max_epochs=2",
                 f"data.split.cross_fold={fold}"], phantom, audit_cache, runs,
            )
        )  # fmt: skip
    return runs / "two_stage"


@pytest.fixture
def trained(composed):
    """Train a run and return its folder; the config is composed from overrides."""

    def make(*overrides, **options):
        cfg = composed(*overrides, **options)
        train.run(cfg)
        return RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)

    return make


@pytest.fixture
def finished(composed, tmp_path):
    """Write the folder that a finished run leaves, without training: its answers are drawn, or those given."""

    def make(*overrides, number=60, train=(), method="grouped", groups=None, cases=None, sure=2.0):
        cfg = composed(*overrides)
        cfg.data.classes = cfg.data.classes or ["benign", "malignant", "normal"]  # as the folder has them
        cfg.data.num_classes = len(cfg.data.classes)
        cfg.preprocess.rules = cfg.preprocess.rules or RULES
        run = RunDir(tmp_path / "runs" / cfg.group / cfg.name)
        run.path.mkdir(parents=True)
        OmegaConf.save(cfg, run.config, resolve=True)
        classes = list(cfg.data.classes)
        rng = np.random.default_rng(stable_hash(cfg.name))
        if cases is None:
            labels = [classes[k % 3] for k in range(number)]
            ids = [f"{label}/{label} ({k})" for k, label in enumerate(labels)]
            cases = pd.DataFrame({"id": ids, "split": ["val" if k < number // 3 else "test" for k in range(number)]})
            cases["label"] = labels
            if cfg.task.name != "segmentation":
                raw = np.exp(rng.normal(0, 1, (number, 3)) + sure * np.eye(3)[[classes.index(name) for name in labels]])
                for k, name in enumerate(classes):
                    cases[f"prob_{name}"] = (raw / raw.sum(axis=1, keepdims=True))[:, k]
            if cfg.task.name != "classification":
                lesion = (cases["label"] != "normal").to_numpy()
                for name, low, high in (("tp", 20, 60), ("fp", 0, 20), ("fn", 0, 20), ("tn", 200, 300)):
                    cases[name] = rng.integers(low, high, number) * (lesion | (name not in ("tp", "fn")))
        parts = {part: sorted(cases.loc[cases["split"] == part, "id"]) for part in ("val", "test")}
        parts["train"] = sorted({*train} or {"benign/benign (9999)"})
        known = dict(zip(cases["id"], range(len(cases)), strict=True)) | (groups or {})
        known |= {id_: 10_000 + k for k, id_ in enumerate(parts["train"]) if id_ not in known}
        make_named_split(parts, method, known, [11, 1, 3]).save(run.split)
        run.write_cases(cases)
        run.update_status(state="complete", model=cfg.model.name, seconds=10.0, epochs=1, data="d", parameters=1000)
        scores = {part: metrics_of(cases[cases["split"] == part]) | {"loss": 1.0} for part in ("val", "test")}
        run.write_metrics(scores)
        history = {"epoch": [0, 1], "lr": 1e-4, "train/loss": [1.0, 0.9], "val/loss": [1.1, 1.0]}
        pd.DataFrame(history | {"train/accuracy": [0.4, 0.5], "val/accuracy": [0.4, 0.6]}).to_csv(
            run.history, index=False
        )
        return run

    return make


@pytest.fixture
def together():
    """Call a function in several threads that start at once, and return what the calls return."""

    def call(job, number):
        start = threading.Barrier(number)

        def wait_and_call(_):
            start.wait()
            return job()

        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(wait_and_call, range(number)))

    return call


@pytest.fixture
def data_config(phantom, audit_cache):
    """Read the groups that the data code reads, without Hydra, which takes a third of a second each time."""

    def make(*overrides, root=phantom, **groups):
        chosen = {"data": "default", "preprocess": "none", "overlay": "none", "augment": "paper"} | groups
        cfg = OmegaConf.create({"seed": 0})
        for group, name in chosen.items():
            files = [ROOT / "conf" / group / f"{file}.yaml" for file in ("none", name)]
            cfg[group] = OmegaConf.merge(*(OmegaConf.load(file) for file in files if file.is_file()))
            cfg[group].pop("defaults", None)
        places = {
            "root": str(root),
            "cache": str(audit_cache),
            "size": 64,
            "classes": ["benign", "malignant", "normal"],
        }
        return OmegaConf.merge(cfg, {"data": places}, OmegaConf.from_dotlist(list(overrides)))

    return make


@pytest.fixture(scope="session")
def busi():
    """The real data; the test is skipped where BUSI_ROOT is not set."""
    if not os.environ.get("BUSI_ROOT"):
        pytest.skip("BUSI_ROOT is not set: the real BUSI is not here")
    return Path(os.environ["BUSI_ROOT"])


@pytest.fixture(scope="session")
def busi_audit(busi, tmp_path_factory):
    """The audit of the real data, made once for all workers."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    return cached_audit(busi, read_folder(busi, {}), shared / "busi_audit")


@pytest.fixture(scope="module")
def browser():
    """A real Chromium, headless; the test is skipped where it is not."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium on the PATH")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=chromium, headless=True, args=CHROMIUM)
        yield launched
        launched.close()


@pytest.fixture
def options_of_two(phantom, audit_cache, tmp_path):
    """Make the options of a small training that one machine or two run, and the folder that it writes."""

    def make(name, *own):
        fixed = [f"data.root={phantom}", f"data.cache={audit_cache}", f"runs_dir={tmp_path / 'runs'}", "group=mine",
                 f"name={name}", "data.size=64", "data.batch_size=8", "debug_size=true", "logger=csv", "model=alexnet",
                 "model.net.dropout=0.0", "trainer.precision=32-true", "channels_last=false",
                 "callbacks.progress=null", "trainer.max_epochs=1"]  # fmt: skip
        return [*fixed, *own], RunDir(tmp_path / "runs" / "mine" / name)

    return make


@pytest.fixture
def command(phantom, audit_cache, tmp_path):
    """Make the arguments of a training on the phantom."""

    def make(*arguments):
        return [*arguments, f"data.root={phantom}", f"data.cache={audit_cache}", f"runs_dir={tmp_path / 'runs'}",
                "data.size=64"]  # fmt: skip

    return make
