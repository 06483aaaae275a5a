"""Kept checkpoints evaluated again: the same numbers, other parts, other folders."""

import gc
import json
import shutil
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from omegaconf import OmegaConf
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.training import evaluate, fit
from bus_lightning.training.building import build_trainer
from bus_lightning.training.evaluate import evaluate_run, evaluate_runs, settle_tested
from bus_lightning.training.hardware import Hardware


def request(root=None, **options):
    base = {"runs": "", "part": "test", "split": None, "progress": False}
    return OmegaConf.create(base | {"data": {"root": root, "skip_unreadable": False}} | options)


@pytest.fixture
def trained(trained, monkeypatch):
    """Train a small network, without its pictures, and return its folder."""
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    return trained


@pytest.mark.slow
@pytest.mark.parametrize("model", ["alexnet", "u2net_lite", "joint_unet"])
def test_a_runs_own_test_images_give_exactly_what_training_wrote(trained, model):
    run = trained(f"model={model}")
    again = evaluate_run(run, request())
    assert again.metrics["test"] == run.metrics["test"]
    written = pd.read_csv(run.cases, dtype=str).query("split == 'test'")
    assert pd.read_csv(again.cases, dtype=str).equals(written.reset_index(drop=True))


def test_what_a_status_does_not_know_does_not_stop_an_evaluation(trained):
    run = trained("model=alexnet")
    run.status_file.write_text(json.dumps(run.status | {"scale": None}))
    assert evaluate_run(run, request()).metrics["test"] == run.metrics["test"]


def test_a_run_of_several_machines_is_evaluated_by_one_process(composed):
    """With the strategy and the machines of the training, it would wait for processes that nobody starts."""
    config = composed("model=alexnet", "trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2")
    OmegaConf.set_struct(config, False)  # as one that is read from a run's folder
    options = settle_tested(config, request()).trainer
    trainer = build_trainer(options, Hardware(torch.device("cpu"), "", "32-true", False), logger=False)
    assert isinstance(trainer.strategy, SingleDeviceStrategy)
    assert trainer.world_size == 1


def test_another_part_and_all_parts_are_evaluated(trained):
    run = trained("model=alexnet")
    assert evaluate_run(run, request(part="train")).metrics["train"]["n"] == len(
        json.loads(run.split.read_text())["train"]
    )
    every = evaluate_run(run, request(part="all")).metrics
    assert every["all"]["n"] == sum(every[part]["n"] for part in ("train", "val", "test")) == 72


def test_every_image_of_a_folder_is_tested_when_asked_for_even_if_a_class_is_missing(trained, phantom, tmp_path):
    run = trained("model=alexnet")
    foreign = tmp_path / "foreign"
    for name in ("malignant", "benign"):
        (foreign / name).mkdir(parents=True)
        for number in (1, 2, 3):
            for ending in (".png", "_mask.png"):
                shutil.copy(phantom / name / f"{name} ({number}){ending}", foreign / name / f"case {number}{ending}")
    result = evaluate_run(run, request(root=str(foreign), split="all"))
    cases = pd.read_csv(result.cases)
    assert len(cases) == 6
    own = pd.read_csv(run.cases)
    shared = own[own["id"].str.fullmatch(r"(benign|malignant)/\w+ \([123]\)")]
    for row in shared.to_dict("records"):  # the same pixels give the same answer, with the same meaning of columns
        expected = cases[cases["id"] == row["id"].replace(row["label"] + " (", "case ").rstrip(")")].iloc[0]
        assert expected["label"] == row["label"]
        assert expected["prob_malignant"] == pytest.approx(row["prob_malignant"], abs=1e-5)
    assert result.metrics["test"]["auroc_macro"] is None


@pytest.mark.slow
def test_a_folder_that_shares_ids_with_the_training_is_tested_only_with_the_option_split(trained, phantom_copy):
    run = trained("model=alexnet")
    split = json.loads(run.split.read_text())
    gone = split["train"][0]
    for file in phantom_copy.glob(f"{gone}*.png"):
        file.unlink()
    with pytest.raises(UserError, match="split=own"):
        evaluate_run(run, request(root=str(phantom_copy)))
    own = evaluate_run(run, request(root=str(phantom_copy), split="own"))
    assert own.metrics["test"] == run.metrics["test"]
    assert evaluate_run(run, request(root=str(phantom_copy), split="all")).metrics["test"]["n"] == 71


def test_a_broken_file_that_was_excluded_in_training_does_not_stop_the_evaluation(trained, phantom_copy, tmp_path):
    mask = phantom_copy / "benign" / "benign (2)_mask.png"
    with Image.open(mask) as image:
        size = image.size
    Image.new("L", (size[0] + 1, size[1])).save(mask)
    exclude = tmp_path / "exclude.csv"
    exclude.write_text("id\nbenign/benign (2)\n")
    run = trained("model=alexnet", f"data.exclude={exclude}", root=phantom_copy)
    exclude.unlink()  # the split names the images: the list is not needed any more
    assert evaluate_run(run, request()).metrics["test"] == run.metrics["test"]


@pytest.mark.slow
def test_another_split_is_taken_and_one_that_does_not_fit_is_refused(trained, tmp_path):
    run = trained("model=alexnet")
    other = trained("model=alexnet", "data.split.seed=3")
    result = evaluate_run(run, request(split=str(other.split)))
    assert sorted(pd.read_csv(result.cases)["id"]) == json.loads(other.split.read_text())["test"]


@pytest.mark.slow
def test_one_run_that_cannot_be_evaluated_does_not_stop_the_others(trained, capsys):
    good, bad = trained("model=alexnet"), trained("model=resnet34")
    bad.best.write_bytes(b"cut off")
    with pytest.raises(UserError, match="1 of 2 runs"):
        evaluate_runs(request(runs=str(good.path.parent / "*")))
    shown = capsys.readouterr().out
    assert "refused" in shown
    assert "alexnet" in shown


def test_the_memory_of_a_run_is_given_back_before_the_next_one_is_evaluated(tmp_path, monkeypatch):
    class Network:
        def __init__(self):
            self.trainer = self  # a cycle, as between a task and its Trainer

    networks = []

    def evaluate_run(run, cfg):
        assert not any(network() for network in networks)
        networks.append(weakref.ref(Network()))
        return run

    for name in ("first", "second"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "best.ckpt").write_text("")
    monkeypatch.setattr(evaluate, "evaluate_run", evaluate_run)
    gc.disable()
    try:
        evaluate_runs(request(runs=str(tmp_path / "*")))
    finally:
        gc.enable()
    assert len(networks) == 2


def test_a_label_in_the_input_gives_a_warning_when_evaluating(trained, caplog):
    run = trained("model=alexnet", "overlay=fill", "overlay.parts=[train]")
    caplog.clear()
    evaluate_run(run, request(part="train"))
    assert "The label is in the input" in caplog.text


@pytest.mark.slow
def test_runs_are_found_by_a_pattern_and_shown_in_one_table(trained, capsys):
    run = trained("model=alexnet")
    trained("model=resnet34")
    evaluate_runs(request(runs=str(run.path.parent / "*")))
    shown = capsys.readouterr().out
    assert "alexnet" in shown
    assert "resnet34" in shown


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"runs": "nowhere/*"}, "nowhere"),
        ({"part": "tset"}, "train, val, test"),
        ({"split": "unsen"}, "split=unsen: choose own, all or unseen"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_one_line(options, named):
    with pytest.raises(UserError, match=named):
        evaluate_runs(request(**options))


def test_too_little_memory_is_one_line_and_the_other_runs_are_evaluated(trained, monkeypatch, caplog):
    run = trained("model=alexnet")
    other = shutil.copytree(run.path, run.path.with_name("other"))
    measure = evaluate.evaluate_run
    monkeypatch.setattr(
        evaluate,
        "evaluate_run",
        lambda run, cfg: torch.empty(2**55) if run.path != other else measure(run, cfg),
    )
    with pytest.raises(UserError, match="1 of 2 runs could not be evaluated"):
        evaluate_runs(request(runs=str(run.path.parent / "*")))
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith(f"{run.path}: out of memory (")
    assert line.endswith("CUDA_VISIBLE_DEVICES= before the command.")
    assert "\n" not in line


def test_a_checkpoint_of_another_network_or_with_code_is_refused(trained):
    run = trained("model=alexnet")
    content = torch.load(run.best, weights_only=True)
    content["state_dict"].pop("net.classifier.6.bias")
    torch.save(content, run.best)
    with pytest.raises(UserError, match=r"classifier\.6\.bias"):
        evaluate_run(run, request())
    torch.save({"state_dict": torch.nn.Linear(1, 1)}, run.best)
    with pytest.raises(UserError, match="pickled code"):
        evaluate_run(run, request())


def test_a_dark_folder_is_read_on_the_scale_of_the_training(trained, phantom, tmp_path):
    run = trained("model=alexnet")
    assert run.status["scale"] == {"bits": 8, "white": 1}
    run.update_status(scale={"bits": 12, "white": 1})
    answers = []
    for name in ("deep", "dark"):  # the same pictures, in 10 of 12 bits and in 8
        folder = tmp_path / name / "benign"
        folder.mkdir(parents=True)
        for number in (1, 2, 3):
            with Image.open(phantom / f"benign/benign ({number}).png") as image:
                levels = np.asarray(image.convert("L")).astype(np.uint16) << 2
            picture = levels if name == "deep" else (levels >> 4).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"case {number}.png")
        cases = pd.read_csv(evaluate_run(run, request(root=str(tmp_path / name), split="all")).cases)
        answers.append(cases.filter(like="prob_").to_numpy())
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-6)
