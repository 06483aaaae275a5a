"""An error of a `_target_` is one line with its cause, its key in the config and its name."""

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf
from torch import nn

from bus_lightning.config.build import build, build_net
from bus_lightning.core.errors import UserError, WeightsMissingError, explain
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import train

SAYS = {"a value": ValueError("a value"), "a setting": MisconfigurationException("a setting"),
        "a claim": AssertionError("a claim"), "'bare'": KeyError("bare"), "at work": RuntimeError("at work"),
        "no_file.pth": FileNotFoundError(2, "No such file", "no_file.pth"),
        "an attribute": AttributeError("an attribute"),
        "not yet": NotImplementedError("not yet"), "0 /": ZeroDivisionError("0 /"), "kind": TypeError("kind"),
        "no module": ImportError("no module"), "two": ValueError("first\ntwo"), "index": IndexError("index"),
        "too little": MemoryError("too little"), "of its own": type("Own", (Exception,), {})("of its own")}  # fmt: skip


def raises(says, inner=None, **more):
    """Stand for whatever a user names."""
    table = {}
    if says in SAYS:
        raise SAYS[says]
    if says == "nothing":
        raise RuntimeError
    if says == "key":
        return table[says]
    if says == "weights":
        raise WeightsMissingError("model.weights=x: not here.")
    if says == "wrapped":
        raise RuntimeError("something went wrong") from KeyError("the_reason")
    return partial(raises, **more) if inner is None else inner


ITSELF = f"{__name__}.raises"


def config(**options):
    return OmegaConf.create({"callbacks": {"mine": {"_target_": ITSELF, **options}}}).callbacks.mine


@pytest.mark.parametrize(("says", "error"), SAYS.items())
def test_an_error_of_any_kind_is_one_line_with_key_and_target(says, error):
    with pytest.raises(UserError) as caught:
        build(config(says=says))
    line = explain(caught.value)
    assert line == str(caught.value), "more than one line"
    assert line.startswith(f"callbacks.mine ({ITSELF}): ")
    assert type(error).__name__ in line
    assert says in line
    assert caught.value.__cause__, "the traceback, for error.txt"


@pytest.mark.parametrize(("says", "shows"), [("nothing", "raise RuntimeError"), ("key", "table[says]")])
def test_an_error_without_words_shows_the_line_that_raised_it(says, shows):
    with pytest.raises(UserError) as caught:
        build(config(says=says))
    assert shows in str(caught.value)


def test_the_cause_below_a_message_of_a_library_is_shown_too():
    with pytest.raises(UserError, match=r"something went wrong.*from KeyError: 'the_reason'"):
        build(config(says="wrapped"))


def test_a_nested_target_is_named_by_its_full_key():
    with pytest.raises(UserError, match=rf"^callbacks\.mine\.inner \({ITSELF}\): ValueError: a value$"):
        build(config(says="fine", inner={"_target_": ITSELF, "says": "a value"}))


def test_a_network_is_named_by_its_key_also_where_a_debug_size_is_merged_into_it():
    model = OmegaConf.create({"net": {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": ITSELF, "says": "x"}]},
                              "debug_size": {"_args_": [{"_target_": ITSELF, "says": "a value"}]}})  # fmt: skip
    with pytest.raises(UserError, match=r"^model\.net\._args_0 .*ValueError: a value$"):
        build_net(model, debug_size=True)
    missing = OmegaConf.create({"net": {"_target_": "torch.nn.Nothing"}, "debug_size": {}})
    with pytest.raises(UserError, match=r"^model\.net \(torch\.nn\.Nothing\): .*Nothing"):
        build_net(missing, debug_size=False)


@pytest.mark.parametrize(
    "node", [{"_target_": "no_such_module.Thing"}, {"_target_": "torch.no_such"}, {"_target_": "torch.pi"},
             {"_target_": "torch.nn.Linear", "feature": 3}, {"_target_": "os.system", "command": "true"}]
)  # fmt: skip
def test_a_target_that_cannot_be_called_is_one_line_with_its_name(node):
    with pytest.raises(UserError) as caught:
        build(OmegaConf.create({"task": {"loss": node}}).task.loss)
    assert str(caught.value).startswith("task.loss (")
    assert node["_target_"].rpartition(".")[0] in str(caught.value)
    assert "full_key" not in explain(caught.value) == str(caught.value)


def test_a_partial_names_its_node_when_its_call_fails():
    optimizer = OmegaConf.create(
        {"optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": -1.0}}
    ).optimizer
    with pytest.raises(UserError, match=r"^optimizer \(torch\.optim\.SGD\): ValueError: Invalid learning rate: -1\.0$"):
        build(optimizer)([torch.nn.Parameter(torch.zeros(1))])


def test_a_partial_that_works_gives_what_it_makes():
    optimizer = OmegaConf.create({"optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5}}).optimizer
    made = build(optimizer)([torch.nn.Parameter(torch.zeros(1))])
    assert (type(made), made.defaults["lr"]) == (torch.optim.SGD, 0.5)


def test_our_own_line_is_not_wrapped():
    with pytest.raises(WeightsMissingError, match=r"^model\.weights=x: not here\.$"):
        build(config(says="weights"))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["trainer.precision=fp16"],
            "trainer (lightning.pytorch.trainer.trainer.Trainer): ValueError: Precision 'fp16'",
        ),
        (["+optimizer.betas=[2,2]"], "optimizer (torch.optim.Adam): ValueError: Invalid beta"),
        (["+scheduler.mode=most"], "scheduler (torch.optim.lr_scheduler.ReduceLROnPlateau): ValueError: mode most"),
        (["+callbacks.mine._target_=torch.nn.Lin"], "callbacks.mine (torch.nn.Lin): "),
        (
            ["logger=csv", "+logger.csv.folder=x"],
            "logger.csv (lightning.pytorch.loggers.csv_logs.CSVLogger): TypeError",
        ),
        (["model.net.block=odd"], "model.net.block=odd is unknown: "),
        (["+model.net.blocks=9"], "model.net (bus_lightning.models.classifiers.resnet): TypeError: resnet() got an"),
        (["task.loss.reduction=often"], None),
        (["augment.rotation.limit=often"], "augment.rotation: "),
    ],
)
def test_a_run_whose_config_cannot_be_built_says_why_and_keeps_the_traceback(composed, overrides, line):
    cfg = composed("model=resnet34", *[part if part.startswith("+") or line else f"+{part}" for part in overrides])
    with pytest.raises(UserError if line else ValueError) as caught:
        train.run(cfg)
    run = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    assert run.status["state"] == "failed"
    assert run.status["error"] == explain(caught.value)
    assert str(caught.value).startswith(line or "often")
    assert "Traceback" in run.error.read_text()


def test_a_bug_of_our_own_keeps_its_traceback(composed, monkeypatch):
    from bus_lightning.models import classifiers

    def bug(*_, **options):
        return [][0]

    monkeypatch.setattr(classifiers.ResNet, "__init__", bug)
    cfg = composed("model=resnet34")
    with pytest.raises(UserError, match=r"^model\.net \(bus_lightning.*\): IndexError: list index out of range"):
        train.run(cfg)
    kept = (Path(cfg.runs_dir) / cfg.group / cfg.name / "error.txt").read_text()
    assert "in bug" in kept
    assert "return [][0]" in kept


def test_the_error_of_a_batch_norm_of_one_value_names_what_to_raise():
    with pytest.raises(ValueError, match="Expected more than 1 value") as caught:
        nn.BatchNorm2d(4)(torch.zeros(1, 4, 1, 1))
    assert "raise data.batch_size or data.size" in explain(caught.value)
