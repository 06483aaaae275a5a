"""What W&B gets of a run, read back from what it recorded offline."""

import json
import os
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from recordings import of_kind, read_recording, read_records

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.models.checkpoint_files import read_checkpoint
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.conditions import read_group
from bus_lightning.statistics.summary import summarise
from bus_lightning.training import train

ROOT = Path(__file__).parents[2]
KEY = "local-" + "0123456789" * 4  # as long as a real one
TASKS = ("classification", "segmentation")


@pytest.fixture(scope="module")
def grid(phantom, audit_cache, tmp_path_factory):
    """A classifier and a segmenter, trained for two epochs with W&B offline, a key being set: task -> run folder."""
    runs = tmp_path_factory.mktemp("runs")
    fixed = [f"data.root={phantom}", f"data.cache={audit_cache}", f"runs_dir={runs}", "logger=wandb", "debug_size=true",
             "callbacks.progress=null", "trainer.enable_progress_bar=false", "data.size=64", "trainer.max_epochs=2",
             "group=mine", "logger.wandb.tags=[small,fast]", "logger.wandb.notes=hello"]  # fmt: skip
    # The learning rate of 0 keeps the first epoch, which no later one surpasses.
    own = {
        "classification": ["model=alexnet", "optimizer.lr=0", "name=first"],
        "segmentation": ["model=u2net_lite", "data.split.val_from_train=1", "logger.wandb.watch=gradients",
                         "data.batch_size=4", "name=second"],
    }  # fmt: skip
    runs_of = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", KEY)
        for task, more in own.items():
            GlobalHydra.instance().clear()
            with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
                train.run(compose("train", overrides=[*fixed, *more]))
            runs_of[task] = RunDir(runs / "mine" / more[-1].partition("=")[2])
    return runs_of


@pytest.fixture(scope="module")
def recorded(grid):
    return {task: read_recording(run.path) for task, run in grid.items()}


@pytest.fixture(scope="module")
def records(grid):
    return {task: read_records(run.path) for task, run in grid.items()}


def test_a_run_is_named_grouped_and_described_as_its_job(grid, records):
    for task, run in grid.items():
        (run_record,) = [record for record in of_kind(records[task], "run") if "display_name" in record]
        names = (run_record["display_name"], run_record["run_group"], run_record["job_type"])
        assert names == (run.path.name, "mine", task)
        assert (run_record["tags"], run_record["notes"]) == (["small", "fast"], "hello")
        assert run_record.get("git", {}).get("commit") == run.status["commit"]
        assert run_record["run_id"] == (run.path / "wandb_id.txt").read_text()


def test_the_config_is_the_resolved_one_with_commit_and_hashes(grid, recorded):
    config, status = recorded["segmentation"].config, grid["segmentation"].status
    assert config["model"]["name"] == "u2net_lite"
    assert config["logger"]["wandb"]["group"] == "mine"
    assert config["hashes"] == {"data": status["data"], "split": status["split"]}
    assert (config["commit"], config["versions"]) == (status["commit"], status["versions"])
    assert config["hardware"]["precision"] == status["precision"]


@pytest.mark.parametrize("task", TASKS)
def test_an_epoch_is_one_row_of_everything_measured_with_the_epoch_as_axis(grid, recorded, records, task):
    history = pd.read_csv(grid[task].history)
    rows = [row for row in recorded[task].history if "train/loss" in row]
    assert [row["epoch"] for row in rows] == [row["_step"] for row in rows] == history["epoch"].tolist()
    for name in history:
        np.testing.assert_allclose([row.get(name, np.nan) for row in rows], history[name], err_msg=name)
    assert "time/images_per_second" in rows[0]
    axes = [record for record in of_kind(records[task], "metric") if record.get("glob_name") == "*"]
    assert axes[-1]["step_metric"] == "epoch"


def test_the_summary_holds_the_kept_epochs_numbers_not_the_lasts(grid, recorded):
    kept = {}
    for task, run in grid.items():
        history, summary = pd.read_csv(run.history), recorded[task].summary
        kept[task] = summary["kept_epoch"]
        assert kept[task] == summary["epoch"] == read_checkpoint(run.best)["epoch"]
        assert history["train/loss"][0] != history["train/loss"][1]
        for name in ("train/loss", "val/loss"):
            assert summary[name] == pytest.approx(history[name][kept[task]])
        assert summary["score"] == pytest.approx(run.status["score"])
        assert summary["seconds"] == run.status["seconds"]
    assert set(kept.values()) == {0, 1}, "either the first or the last would do"


@pytest.mark.parametrize("task", TASKS)
def test_test_metrics_stand_next_to_the_intervals_of_the_report(grid, recorded, task):
    summary, metrics = recorded[task].summary, grid[task].metrics["test"]
    (condition,) = [condition for condition in read_group(grid[task].path.parent).conditions if condition.task == task]
    table = summarise(condition, "test").set_index("metric")
    name = {"classification": "auroc_macro", "segmentation": "dice_image"}[task]
    assert summary[f"test/{name}"] == pytest.approx(metrics[name])
    interval = [summary[f"test/{name}_low"], summary[f"test/{name}_high"]]
    np.testing.assert_allclose(interval, table.loc[name, ["low", "high"]].astype(float), rtol=1e-6)
    rows = {row[2]: row[3:] for row in recorded[task].table("test/metrics")[1]}
    assert rows[name] == pytest.approx([metrics[name], *interval, metrics["n"]])


def test_a_segmenters_images_carry_truth_and_answer_as_masks(recorded, phantom):
    run = recorded["segmentation"]
    for key in ("val/images", "test/images"):
        shown = run.summary[key]
        assert 0 < shown["count"] <= 8
        for caption, masks in zip(shown["captions"], shown["all_masks"], strict=True):
            truth = np.asarray(Image.open(run.files[masks["ground_truth"]["path"]]))
            assert truth.any() != caption.startswith("normal")
            assert set(np.unique(np.asarray(Image.open(run.files[masks["prediction"]["path"]])))) <= {0, 1}
    assert all(row["epoch"] == 0 for row in run.history if "val/images._type" in row), "shown more often than asked"


def test_a_classifiers_images_say_truth_and_answer(recorded):
    captions = recorded["classification"].summary["val/images"]["captions"]
    assert captions
    for caption in captions:
        truth = caption.partition("/")[0]
        assert f"ground truth {truth}, prediction " in caption


def test_the_charts_and_the_table_are_those_of_the_test_cases(grid, recorded):
    cases = pd.read_csv(grid["classification"].cases).query("split == 'test'")
    run = recorded["classification"]
    cells = run.table("test/confusion_matrix_table")[1]
    assert sum(count for _, _, count in cells) == len(cases)
    right = sum(count for truth, answer, count in cells if truth == answer)
    assert right / len(cases) == pytest.approx(metrics_of(cases)["accuracy"])
    assert {"test/roc_table", "test/precision_recall_table"} <= run.summary.keys()
    columns, rows = run.table("test/cases")
    table = pd.DataFrame(rows, columns=columns)
    assert table["id"].tolist() == cases["id"].tolist()
    np.testing.assert_allclose(table["prob_benign"], cases["prob_benign"])


def test_the_table_of_a_segmenter_has_dice_where_there_is_a_lesion_and_a_thumbnail_each(grid, recorded, records):
    columns, rows = recorded["segmentation"].table("test/cases")
    table = pd.DataFrame(rows, columns=columns)
    lesions = table["dice"].astype(float).dropna()
    assert len(lesions) == (table["label"] != "normal").sum()
    assert lesions.mean() == pytest.approx(grid["segmentation"].metrics["test"]["dice_image"])
    (artifact,) = [
        artifact for artifact in of_kind(records["segmentation"], "artifact") if artifact["name"].count("testcases")
    ]
    pictures = [entry for entry in artifact["manifest"]["contents"] if entry["path"].endswith(".jpg")]
    assert len(pictures) == len(table)


@pytest.mark.parametrize("task", TASKS)
def test_the_kept_checkpoint_is_an_artifact_best_without_a_second_copy_and_within_the_runs_folder(grid, records, task):
    run = grid[task]
    artifacts = of_kind(records[task], "artifact")
    (model,) = [artifact for artifact in artifacts if artifact["type"] == "model"]
    assert "best" in model["aliases"]
    metadata = json.loads(model["metadata"])
    assert metadata["kept_epoch"] == (0 if task == "classification" else metadata["kept_epoch"])
    assert metadata["score"] == pytest.approx(run.status["score"])
    assert metadata["identity"]["model.name"] == run.status["model"]
    (entry,) = model["manifest"]["contents"]
    assert Path(entry["local_path"]).samefile(run.best)
    staged = [Path(entry["local_path"]) for artifact in artifacts for entry in artifact["manifest"]["contents"]]
    assert all(path.is_relative_to(run.path.resolve()) and path.is_file() for path in staged)
    assert not {"WANDB_DATA_DIR", "WANDB_CACHE_DIR"} & os.environ.keys(), "left to the next job of this process"


def test_gradients_are_an_option(recorded):
    kinds = {task: [key for row in run.history for key in row if key.startswith("gradients/")]
             for task, run in recorded.items()}  # fmt: skip
    assert kinds["segmentation"]
    assert not kinds["classification"]


@pytest.mark.parametrize("task", TASKS)
def test_neither_folders_nor_the_host_of_this_machine_are_recorded(grid, records, phantom, task):
    # An artifact names the files to send, and is not sent with those names.
    text = "\n".join(json.dumps(record) for record in records[task] if record["type"] != "artifact")
    for secret in (str(phantom), str(grid[task].path), str(ROOT), str(Path.home()) + "/", f'"{socket.gethostname()}"'):
        assert secret not in text


def test_no_key_is_in_any_file_of_a_run(grid):
    for run in grid.values():
        files = [file for file in run.path.rglob("*") if file.is_file()]
        assert len(files) > 20
        assert not [file for file in files if KEY.encode() in file.read_bytes()]


@pytest.fixture
def view():
    """The ready dashboard of a group."""
    return pytest.importorskip("bus_lightning.tracking.workspace").workspace("me", "mine", "grid")


def test_the_ready_dashboard_is_read_by_wandb_as_it_was_defined(view):
    from panel_keys import sent_and_read

    text, read = sent_and_read(view)
    assert json.loads(sent_and_read(read)[0]) == json.loads(text)
    assert [section.name for section in read.sections] == [section.name for section in view.sections]
    kinds = [[type(panel) for panel in section.panels] for section in read.sections]
    assert kinds == [[type(panel) for panel in section.panels] for section in view.sections]


def test_every_panel_of_the_ready_dashboard_has_its_keys_in_a_recorded_run(view, recorded):
    from panel_keys import keys_of, sent_and_read

    panels = [panel for section in sent_and_read(view)[1].sections for panel in section.panels]
    assert len(panels) > 20
    for panel in panels:
        missing = {task: keys_of(panel).missing_in(run) for task, run in recorded.items()}
        assert not all(missing.values()), f"{panel}: {missing}"


def test_the_columns_and_filters_of_the_ready_dashboard_are_those_of_recorded_runs(view, recorded, records):
    from panel_keys import sent_and_read

    settings = sent_and_read(view)[1].runset_settings
    summaries = {f"summary:{key}" for run in recorded.values() for key in run.summary}
    columns = {column for column in settings.pinned_columns if not column.startswith("run:")}
    assert columns - {"config:model.name"} <= summaries
    assert "summary:test/dice_image_low" in columns
    assert settings.filters == "Metric(\"JobType\") != 'report' and Metric(\"Group\") == 'grid'"
    for task, run in recorded.items():
        (named,) = [record for record in of_kind(records[task], "run") if "display_name" in record]
        assert (named["run_group"], named["job_type"], run.config["model"]["name"] != "") == ("mine", task, True)


def test_a_run_names_the_page_of_its_report(recorded):
    assert {run.summary["report"] for run in recorded.values()} == {"mine/report/index.html"}


def test_a_classifier_that_sees_a_mask_shows_its_images_without_it(composed):
    cfg = composed("model=resnet34", "overlay=channel", "logger=wandb", "data.split.val_from_train=1")
    train.run(cfg)
    run = read_recording(Path(cfg.runs_dir) / cfg.group / cfg.name)
    modes = set()
    for name in run.summary["val/images"]["filenames"]:
        with Image.open(run.files[name]) as image:
            modes.add(image.mode)
    assert modes == {"RGB"}
