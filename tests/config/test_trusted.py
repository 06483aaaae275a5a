"""What the config of a run names is never run by the commands that read runs, and nothing in it is resolved."""

import json
import logging
import shutil
from pathlib import Path

import pytest
from composing import compose_run
from omegaconf import OmegaConf
from small_runs import SMALL

from bus_lightning.config.build import build, build_net
from bus_lightning.config.schema import EVALUATE, check_kinds
from bus_lightning.config.stored import load_config, save_config
from bus_lightning.config.trusted import Origin
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.export.runs import open_for_bundle, rebuild
from bus_lightning.launch.report import main as report
from bus_lightning.report.costs import cost_frame
from bus_lightning.report.making import make_report
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.conditions import read_group
from bus_lightning.training import train
from bus_lightning.training.evaluate import evaluate_run

ROOT = Path(__file__).parents[2]
ORIGIN = Origin(Path("runs/a/b/config.yaml"))
SECRET = "the value that no file may hold"
# A module whose import, or whose class, would leave a mark.
MODULE = """
from pathlib import Path
import torch
MARK = Path(__file__).with_name("mark")
MARK.write_text("imported")
class Net(torch.nn.Sequential):
    def __init__(self, num_classes, in_channels, **options):
        super().__init__(torch.nn.Conv2d(in_channels, 4, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                         torch.nn.Flatten(), torch.nn.Linear(4, num_classes))
def leave_mark(*arguments, **options):
    MARK.write_text("called")
"""


@pytest.fixture(scope="module")
def own(phantom, audit_cache, tmp_path_factory):
    """A finished run, which tests copy."""
    cfg = compose_run([*SMALL, "name=own"], phantom, audit_cache, tmp_path_factory.mktemp("own"))
    train.run(cfg)
    return RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)


@pytest.fixture
def copied(own, tmp_path):
    """Copy the finished run, and change keys of its config as an editor would."""

    def make(folder="copy", **changes):
        run = RunDir(Path(shutil.copytree(own.path, tmp_path / "runs" / "classification" / folder)))
        cfg = OmegaConf.load(run.config)
        for key, value in changes.items():
            OmegaConf.update(cfg, key.replace("__", "."), value, merge=False, force_add=True)
        OmegaConf.save(cfg, run.config)
        return run

    return make


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """Put a module into the working directory, which Python imports from; return the mark that it would leave."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "strange.py").write_text(MODULE)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder / "mark"


def evaluated(run, **options):
    data = {"root": None, "skip_unreadable": False}
    usual = {"part": "test", "split": None, "progress": False, "data": data}
    return evaluate_run(run, OmegaConf.create(usual | options))


MARK = {"_target_": "strange.leave_mark"}


@pytest.mark.slow
def test_what_a_reader_does_not_need_is_not_built(copied, own, strange):
    before = OmegaConf.load(own.config)
    run = copied(
        optimizer=MARK, scheduler=MARK, logger={"mine": MARK}, callbacks={"progress": MARK, "mine": MARK},
        augment={"mine": MARK}, model__imagenet=MARK, trainer__strategy=MARK, trainer___target_="strange.leave_mark",
        trusted_packages=["strange"],
    )  # fmt: skip
    out = evaluated(run, progress=True, part="all")
    assert out.metrics["test"] == own.metrics["test"]
    make_report([run.path.parent])
    rebuild(open_for_bundle(run.path))
    assert train.run(before) == own.status["score"]  # skipped, after the kept config was compared with it
    assert not strange.exists()


@pytest.mark.parametrize(
    "changes",
    [{"model__net": MARK}, {"model__net__norm": MARK}, {"model__net__norm": [[MARK]]}, {"model__debug_size": MARK},
     {"model__net___args_": [MARK]}],
)  # fmt: skip
def test_no_command_builds_a_network_that_is_not_of_a_known_library(copied, strange, caplog, changes):
    run = copied(**changes, trusted_packages=["strange"])
    run.network.unlink()  # as in an earlier version; otherwise a report need not build the network
    line = r"copy/config\.yaml: model\.net\S* names strange\.leave_mark, .* 'trusted_packages=\[strange\]'"
    with pytest.raises(UserError, match=line):
        evaluated(run)
    with pytest.raises(UserError, match=line):
        rebuild(open_for_bundle(run.path))
    costs = cost_frame(read_group(run.path.parent).conditions)  # of a report, which has the number from the status
    assert (costs["parameters"].tolist(), costs["macs"].tolist()) == ([run.status["parameters"]], [None])
    assert "'trusted_packages=[strange]' to evaluate.py, or --trust strange for a report" in caplog.text
    assert not strange.exists()


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"task__loss": MARK}, "task.loss"), ({"task__loss__weight": MARK}, "task.loss.weight"),
     ({"task___target_": "strange.leave_mark"}, "task"), ({"task__more": {"deep": [MARK]}}, r"task\.more\.deep\[0\]")],
)  # fmt: skip
def test_an_evaluation_builds_no_loss_and_no_task_that_is_not_of_a_known_library(copied, strange, changes, key):
    run = copied(**changes)
    with pytest.raises(UserError, match=rf"copy/config\.yaml: {key} names strange\.leave_mark, .*trusted_packages="):
        evaluated(run)
    assert not strange.exists()


def test_a_node_among_the_classes_is_not_built(copied, strange):
    run = copied(data__classes=["benign", "malignant", MARK])
    with pytest.raises(DamagedError, match=r"data\.classes are not names"):
        evaluated(run)
    with pytest.raises(UserError, match=r"task\.classes\[0\] names strange\.leave_mark"):
        build({"_target_": "torch.nn.Identity"}, ORIGIN, "task", classes=[OmegaConf.create(MARK)])
    assert not strange.exists()


NEVER = [
    "os.system", "builtins.eval", "builtins.exec", "subprocess.run", "functools.partial", "importlib.import_module",
    "hydra.utils.get_method", "hydra.utils.instantiate", "hydra._internal.utils._locate", "strange.Net", "strange",
    "torch.load", "torch.hub.load", "torch.jit.load", "torch.jit.ScriptModule", "torch.ops.load_library", "torch.save",
    "torch.utils.data.DataLoader", "torch.nn.DataParallel", "torch.nn.Module.load_state_dict", "torch.nn.Parameter",
    "torch.nn.modules.module.torch.load", "torch.nn.modules.torch.load", "torch.nn.functional.torch.load",
    "torch.nn.functional.importlib.import_module", "torch.nn.functional.linear", "torch.os.system", "torch.strange",
    "torch.nn.strange.Net", "torch.distributed.nn.RemoteModule", "torch.package.PackageImporter",
    "torch.fx.GraphModule", "torchvision.models.get_weight", "torchvision.io.read_file",
    "torchvision.models.resnet.load_state_dict_from_url",
    "torchvision.datasets.FakeData", "torchvision.ops.nms", "timm.models.load_checkpoint", "timm.data.create_dataset",
    "timm.models.load_pretrained", "timm.models._helpers.load_state_dict", "timm.models.resnet.build_model_with_cfg",
    "segmentation_models_pytorch.from_pretrained", "segmentation_models_pytorch.Unet.from_pretrained",
    "segmentation_models_pytorch.encoders.get_encoder", "segmentation_models_pytorch.encoders.hf_hub_download",
    "segmentation_models_pytorch.datasets.SimpleOxfordPetDataset", "torchmetrics.Accuracy", "albumentations.load",
    "lightning.pytorch.LightningModule.load_from_checkpoint", "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.callbacks.RichProgressBar", "bus_lightning.models.weights.torchvision_imagenet",
    "bus_lightning.models.weights.read_checkpoint", "bus_lightning.core.files.write_aside",
    "bus_lightning.tracking.logger.wandb_logger", "bus_lightning_strange.Net", "bus_lightning.strange.Net",
    "bus_lightning.models.strange.Net", "torch", ".nn.Linear", "torch..Linear", "torch.nn.Linear ", "", 3, None,
    ["torch.nn.Linear"], {"_target_": "torch.nn.Linear"},
]  # fmt: skip


@pytest.mark.parametrize("target", NEVER, ids=str)
def test_what_is_neither_a_network_nor_a_loss_is_refused_and_not_imported(target, strange):
    for name in ("bus_lightning_strange.py", "albumentations_strange.py"):
        shutil.copy("strange.py", name)
    with pytest.raises(UserError, match=r"^runs/a/b/config\.yaml: model\.net\S* names .*not a network or a loss"):
        build({"_target_": target}, ORIGIN, "model.net")
    assert not strange.exists()


@pytest.mark.slow
def test_code_of_the_user_trains_freely_and_is_read_with_the_option(composed, strange, caplog, capsys):
    cfg = composed(*SMALL, "name=mine", "model.net._target_=strange.Net")
    train.run(cfg)
    run = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    assert strange.read_text() == "imported"
    with pytest.raises(UserError, match=r"names strange\.Net, .*add 'trusted_packages=\[strange\]'"):
        evaluated(run)
    assert evaluated(run, trusted_packages=["strange"]).metrics["test"] == run.metrics["test"]
    with pytest.raises(UserError, match=r"names strange\.Net"):
        open_run(run.path, trusted=["strang", "strange.net", "tests"]).network()
    assert type(open_run(run.path, trusted=["strange"]).network()).__name__ == "Net"
    with caplog.at_level(logging.WARNING):
        assert report([str(run.path.parent), "--no-wandb"]) == 0
        assert "--trust strange" not in caplog.text  # the run has counted its network
        run.network.unlink()
        assert report([str(run.path.parent), "--no-wandb"]) == 0
    assert "--trust strange" in caplog.text
    caplog.clear()
    assert report([str(run.path.parent), "--no-wandb", "--trust", "strange"]) == 0
    assert "--trust strange" not in caplog.text


def test_the_option_is_a_list_of_names():
    own = OmegaConf.load(ROOT / "conf" / "evaluate.yaml")
    own.runs = "r"
    usual = {key: value for key, value in own.items() if key in EVALUATE and key != "trusted_packages"}
    assert check_kinds(OmegaConf.create(usual), EVALUATE).trusted_packages == []
    assert check_kinds(OmegaConf.create(usual | {"trusted_packages": ["a.b"]}), EVALUATE).trusted_packages == ["a.b"]
    with pytest.raises(UserError, match=r"trusted_packages=mine: give a list of packages, such as '\[my_nets\]'"):
        check_kinds(OmegaConf.create(usual | {"trusted_packages": "mine"}), EVALUATE)


OPEN = ["${oc.env:PRIVATE}", "a ${oc.env:PRIVATE} b", "\\${oc.env:PRIVATE}", "\\\\${oc.env:PRIVATE}", "${seed}", "${",
        "${environment:PRIVATE}", "???"]  # fmt: skip


@pytest.mark.parametrize("value", OPEN)
@pytest.mark.parametrize("place", ["name", "data.root", "data.classes[0]", "model.net.deep[0].b", "model.net.${x}"])
def test_a_config_of_a_run_holds_values_only(own, tmp_path, monkeypatch, value, place):
    monkeypatch.setenv("PRIVATE", SECRET)
    content = OmegaConf.to_container(OmegaConf.load(own.config))
    if place == "name":
        content["name"] = value
    elif place == "data.root":
        content["data"]["root"] = value
    elif place == "data.classes[0]":
        content["data"]["classes"][0] = value
    elif place == "model.net.${x}":
        place, content["model"]["net"][value] = "model.net", 1
    else:
        content["model"]["net"]["deep"] = [{"b": value}]
    hidden = json.dumps(content).replace("$", "\\u0024")  # YAML reads JSON, and both read the sign like this
    (tmp_path / "config.yaml").write_text(hidden)
    with pytest.raises(DamagedError) as refused:
        load_config(tmp_path / "config.yaml")
    assert f"{place} is " in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.slow
def test_no_variable_of_the_environment_reaches_a_report(copied, finished, monkeypatch, capsys, caplog):
    monkeypatch.setenv("PRIVATE", SECRET)
    runs = [copied(str(number), **{key: "${oc.env:PRIVATE}"}) for number, key in enumerate(
        ("name", "model__name", "data__root", "data__split__method", "overlay__style", "preprocess__denoise",
         "trainer__precision", "model__net__block", "logger"))]  # fmt: skip
    whole = copied("whole")
    for run in runs:
        with pytest.raises(DamagedError):
            evaluated(run)
    assert report([str(whole.path.parent), "--no-wandb"]) == 0
    files = [file for file in whole.path.parent.rglob("*") if file.is_file()]
    assert len([file for file in files if "report" in file.parts]) > 5
    assert not [file for file in files if SECRET.encode() in file.read_bytes()]
    left_out = (whole.path.parent / "report" / "tables" / "left_out.csv").read_text()
    assert left_out.count("which is not a value") == len(runs)
    assert SECRET not in caplog.text + "".join(capsys.readouterr())


def test_what_a_status_holds_is_not_resolved_either(copied, monkeypatch, caplog):
    monkeypatch.setenv("PRIVATE", SECRET)
    run = copied(trainer__precision="auto")
    run.update_status(precision="${oc.env:PRIVATE}")
    with pytest.raises(UserError, match=r"trainer\.precision is '\$\{oc\.env:PRIVATE\}', which is never resolved"):
        evaluated(run)
    assert SECRET not in caplog.text


def test_a_training_keeps_no_config_that_would_be_resolved_when_it_is_read(composed, tmp_path):
    cfg = composed(*SMALL)
    cfg.runs_dir = "a \\${seed} b"
    with pytest.raises(UserError, match=r"^runs_dir=a \$\{seed\} b: a run's config keeps values only"):
        save_config(cfg, tmp_path / "config.yaml")
    assert not (tmp_path / "config.yaml").exists()


def test_the_name_of_a_folder_of_images_is_not_resolved(composed, phantom_copy, monkeypatch):
    monkeypatch.setenv("PRIVATE", SECRET)
    (phantom_copy / "benign").rename(phantom_copy / "${oc.env:PRIVATE}")
    with pytest.raises(UserError, match=r"The folder \$\{oc\.env:PRIVATE\} has \$\{ in its name: rename it"):
        train.run(composed(*SMALL, "data.sets.busi.classes=null", root=phantom_copy))


def test_an_object_that_is_not_a_network_is_refused_in_one_line(own):
    cfg = load_config(own.config)
    cfg.model.net = {"_target_": "torch.nn.Linear", "_partial_": True}
    with pytest.raises(UserError, match=r"^model\.net \(torch\.nn\.Linear\) makes a \w+, which is not a network\.$"):
        build_net(cfg.model, False, ORIGIN)
