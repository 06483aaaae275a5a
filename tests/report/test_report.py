"""A report contains all results of its runs, and says which are missing."""

from functools import partial

import pandas as pd
import pytest
from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.launch.report import main, send_to_wandb
from bus_lightning.report.contents import contents
from bus_lightning.report.extension import Extension
from bus_lightning.report.making import make_report
from bus_lightning.report.sections import Note, Section
from bus_lightning.statistics.conditions import read_group


def report_of(run, *more, **options):
    page = make_report([run.path.parent, *more], **options)
    return page.parent, (page.parent / "report.md").read_text()


@pytest.mark.slow
def test_a_report_has_all_tables_and_figures_and_lists_what_was_left_out(finished):
    finished("group=grid", "model=resnet34", "seed=0")
    finished("group=grid", "model=resnet34", "seed=1")
    finished("group=grid", "model=alexnet", sure=-3)
    finished("group=grid", "model=u2net_lite")
    failed = finished("group=grid", "model=deepcardinal50")
    failed.metrics_file.unlink()
    failed.update_status(state="failed", error="CUDA out of memory")
    old = failed.path.parent / "report" / "tables" / "gone.csv"
    old.parent.mkdir(parents=True)
    old.write_text("of the report before")
    folder, text = report_of(failed)

    tables, figures = ({file.stem for file in (folder / kind).iterdir()} for kind in ("tables", "figures"))
    assert {f"{task}_test" for task in ("classification", "segmentation")} | {"costs"} <= tables
    assert {"comparisons_classification", "classification_all_metrics"} <= tables
    assert {
        "roc_test",
        "roc_val",
        "confusion_test",
        "confusion_val",
        "reliability_test",
        "decision_curve_test",
    } <= figures
    assert {f"forest_{task}" for task in ("classification", "segmentation")} <= figures
    assert {f"history_{task}" for task in ("classification", "segmentation")} <= figures
    assert (folder / "index.html").stat().st_size > 100_000
    assert not old.exists()

    checks = pd.read_csv(folder / "tables" / "checks.csv")
    poor = checks[checks["what was found"].str.contains("no better than")]
    assert set(poor["condition or run"]) == {"alexnet"}  # what beats the majority is not warned of
    assert pd.read_csv(folder / "tables" / "left_out.csv")["run"].tolist() == [failed.path.name]
    assert "CUDA out of memory" in text
    assert not [word for word in ("paper", "Li et al", "ResNet") if word in text]  # the report itself knows no paper


@pytest.mark.slow
def test_a_report_without_the_images_says_so_and_how_it_gets_its_pictures(finished, tmp_path, monkeypatch):
    run = finished("group=g", "model=alexnet")
    told = "The images of busi were not found, so this report has no pictures of them"
    assert told not in report_of(run)[1]
    monkeypatch.setenv("BUSI_ROOT", str(tmp_path / "nowhere"))
    config = OmegaConf.load(run.config)
    config.data.root = None
    OmegaConf.save(config, run.config)
    text = report_of(run)[1]
    assert told in text
    assert "set BUSI_ROOT to its new place" in text


def test_one_case_of_one_class_gives_a_report_and_the_command_says_where(finished, capsys):
    cases = pd.read_csv(finished("model=resnet34", "group=whole").cases).tail(1)
    run = finished("model=resnet34", "group=one", cases=cases)
    assert main([str(run.path.parent), "--no-wandb"]) == 0
    page = run.path.parent / "report" / "index.html"
    assert str(page) in capsys.readouterr().out
    assert "no image of class" in page.read_text()


@pytest.mark.slow
def test_conditions_on_different_images_are_compared_on_those_that_they_share_and_all_goes_to_wandb(
    finished, monkeypatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    whole = finished("group=both", "model=resnet34", "logger=wandb")
    cases = pd.read_csv(whole.cases)
    finished("group=both", "model=resnet50", cases=cases.drop(index=cases.index[-10:]))
    folder, _ = report_of(whole, send=send_to_wandb)
    assert pd.read_csv(folder / "tables" / "comparisons_classification.csv")["n"].tolist() == [30, 30]
    assert "compared on the images that they share" in (folder / "report.md").read_text()
    (record,) = whole.path.parent.glob("wandb/offline-run-*/*.wandb")
    content = record.read_bytes()
    assert b"tables/classification_test" in content
    assert b"figures/confusion_test" in content


@pytest.mark.slow
def test_a_report_goes_only_to_an_owner_on_wandb_that_the_user_names(finished, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "offline")
    group = finished("group=foreign", "model=resnet34", "logger=wandb", "logger.wandb.entity=stranger").path.parent
    make_report([group], send=send_to_wandb)
    assert not list(group.glob("wandb/*/*.wandb"))
    assert "not sent to W&B because its runs name the owner stranger: add --wandb-entity stranger" in caplog.text
    make_report([group], send=partial(send_to_wandb, entity="stranger"))
    assert len(list(group.glob("wandb/offline-run-*/*.wandb"))) == 1


def test_what_cannot_be_reported_is_one_clear_line(tmp_path, finished, capsys):
    assert main([str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.startswith("Error: ")
    run = finished("model=resnet34")
    run.metrics_file.unlink()
    with pytest.raises(UserError, match="no complete run"):
        report_of(run)


def test_a_folder_that_cannot_be_written_is_one_clear_line(finished, capsys):
    group = finished("model=resnet34").path.parent
    assert main([str(group), "--out", "/proc/report"]) == 1  # nobody can write there
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: /proc/")
    assert "choose --out=..." in line


def test_an_extension_adds_its_sections_rows_titles_and_conditions(finished):
    class Study(Extension):
        titles = {"resnet34": "The Net"}  # noqa: RUF012 (as the base class has it)

        def main_conditions(self, conditions):
            return [condition for condition in conditions if condition.model != "alexnet"]

        def cost_rows(self, conditions):
            return [{"model": "rival", "size": 64, "debug_size": False, "runs": 0, "parameters": 5}]

        def after_checks(self, evidence):
            return [Section("First", "", [Note(f"Of {len(evidence.main)} and {len(evidence.group.conditions)}.")])]

        def after_tasks(self, evidence):
            return [Section("Second", "", [Note("Text.")])]

        def after_costs(self, evidence):
            return [Note(f"Costs of {len(evidence.costs)}.")]

    finished("group=grid", "model=alexnet")
    group = read_group(finished("group=grid", "model=resnet34").path.parent)
    sections = {section.title: section for section in contents(group, [Study()])}
    titles = list(sections)
    assert titles.index("First") == titles.index("Checks") + 1
    assert titles.index("Second") == titles.index("Classification") + 1
    assert sections["First"].items[0].text == "Of 1 and 2."
    table, note = sections["The networks and what they cost"].items
    assert table.frame["model"].tolist() == ["The Net (small, for debugging)", "rival"]
    assert note.text == "Costs of 2."


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (["name=b", "optimizer.lr=0.2"], ["name=a", "optimizer.lr=0.1"]),  # equal: the first by name
        (["name=a", "overlay=contour"], ["name=predicted", "overlay=contour", "overlay.source=predicted"]),
        (["name=a", "overlay=contour", "overlay.source=predicted"], ["name=longer"]),
        (["name=a", "preprocess.denoise=median", "preprocess.parts=[train]"], ["name=longer"]),
        (["name=a", "data.mistake=mask_files"], ["name=longer"]),
        (["name=a", "data.split.method=random"], ["name=longer"]),
    ],
)
def test_a_model_is_shown_by_its_condition_without_leaks_else_by_the_first(finished, worse, better):
    class Study(Extension):
        def after_checks(self, evidence):
            return [Section("Shown", "", [Note(evidence.by_model["resnet34"].name)])]

    finished("group=grid", "model=resnet34", *better)
    group = read_group(finished("group=grid", "model=resnet34", *worse).path.parent)
    shown = {section.title: section for section in contents(group, [Study()])}["Shown"]
    assert shown.items[0].text == better[0].removeprefix("name=")


@pytest.mark.slow
def test_what_cannot_be_sent_is_a_warning_and_the_report_is_there(finished, caplog):
    def send(group, sections):
        raise OSError("no route")

    folder, _ = report_of(finished("model=resnet34"), send=send)
    assert (folder / "index.html").is_file()
    assert "could not be sent: no route" in caplog.text
