"""A report tells all that the runs say, and what they do not."""

import pandas as pd
import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.launch.report import main
from bus_lightning.paper.leaks import handling, verdicts
from bus_lightning.report.making import make_report


def report_of(run, *more, **options):
    page = make_report([run.path.parent, *more], None, "Title", to_wandb=False, **options)
    return page.parent, (page.parent / "report.md").read_text()


def test_a_report_tells_what_the_paper_tells_what_it_lacks_and_what_was_left_out(finished):
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
    assert {f"{task}_test" for task in ("classification", "segmentation")} | {"contradictions", "costs"} <= tables
    assert {"comparisons_classification", "classification_all_metrics"} <= tables
    assert {"paper_sources", "paper_table_1", "paper_tables_2_3", "paper_table_4", "paper_abstract"} <= tables
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
    assert {"network_resnet34", "network_u2net_lite"} <= figures
    assert (folder / "index.html").stat().st_size > 100_000
    assert not old.exists()

    checks = pd.read_csv(folder / "tables" / "checks.csv")
    poor = checks[checks["what was found"].str.contains("no better than")]
    assert set(poor["condition or run"]) == {"alexnet"}  # what beats the majority is not warned of
    assert pd.read_csv(folder / "tables" / "left_out.csv")["run"].tolist() == [failed.path.name]
    assert "CUDA out of memory" in text
    assert "not run" in text


def test_one_case_of_one_class_gives_a_report_and_the_command_says_where(finished, capsys):
    cases = pd.read_csv(finished("model=resnet34", "group=whole").cases).tail(1)
    run = finished("model=resnet34", "group=one", cases=cases)
    assert main([str(run.path.parent), "--no-wandb"]) == 0
    page = run.path.parent / "report" / "index.html"
    assert str(page) in capsys.readouterr().out
    assert "no image of class" in page.read_text()


def test_conditions_on_different_images_are_compared_on_those_that_they_share_and_all_goes_to_wandb(
    finished, monkeypatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    whole = finished("group=both", "model=resnet34", "logger=wandb")
    cases = pd.read_csv(whole.cases)
    finished("group=both", "model=resnet50", cases=cases.drop(index=cases.index[-10:]))
    page = make_report([whole.path.parent], None, "Title", to_wandb=True)
    folder = page.parent
    assert pd.read_csv(folder / "tables" / "comparisons_classification.csv")["n"].tolist() == [30, 30]
    assert "compared on the images that they share" in (folder / "report.md").read_text()
    (record,) = whole.path.parent.glob("wandb/offline-run-*/*.wandb")
    content = record.read_bytes()
    assert b"tables/classification_test" in content
    assert b"figures/confusion_test" in content


def test_leakage_experiments_have_a_section_of_their_own(finished):
    for leak in ("nothing", "class_mark", "contour_all"):
        for method in ("random", "grouped"):
            run = finished("group=leakage", "model=resnet34", f"leak={leak}", f"data.split.method={method}")
    folder, text = report_of(run)
    table = pd.read_csv(folder / "tables" / "leakage_handlings.csv")
    assert table["done to the images"].tolist()[:2] == ["nothing", "nothing"]
    assert (folder / "figures" / "leakage.png").is_file()
    assert (table["network"] == "ResNet-50, the paper").sum() == 1
    assert "name of the class written, on train and validation" in text


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["leak=nothing"], ""),
        (["leak=contour_all"], "lesion outlined, on all images"),
        (["leak=contour_by_class"], "lesion outlined in a colour per class, on train and validation"),
        (["leak=clean"], "cleaned (median, clahe), on train and validation"),
        (["preprocess=clean"], ""),
        (["leak=mask_files"], "mask files taken for images"),
    ],
)
def test_a_handling_is_said_in_words(composed, overrides, words):
    assert handling(composed("model=resnet34", *overrides)) == words


def leak_row(val, test, loss):
    found = {"validation accuracy": val, "test accuracy": test, "test loss": loss, "gap": val - test}
    ends = {
        f"{name}_{end}": value + shift
        for name, value in found.items()
        for end, shift in (("low", -0.04), ("high", 0.04))
    }
    return {"handling": "it", "split": "random"} | ends


def test_a_handling_is_allowed_only_when_validation_test_gap_and_loss_all_fit():
    assert "meet all four for: it" in verdicts([leak_row(0.97, 0.56, 1.5)])[0].text
    for row, why in (
        (leak_row(0.80, 0.42, 1.5), "validation accuracy"),
        (leak_row(0.97, 0.78, 1.5), "test accuracy"),
        (leak_row(0.90, 0.67, 1.5), "gap"),
        (leak_row(0.97, 0.56, 0.9), "test loss"),
    ):
        notes = verdicts([row])
        assert "No handling here" in notes[0].text
        assert why in notes[1].text


def test_a_handling_without_validation_images_is_not_judged():
    notes = verdicts([leak_row(float("nan"), 0.56, 1.5)])
    assert notes[-1].text == "Not judged, for a number is missing: it (random split)."


def test_what_cannot_be_reported_is_one_clear_line(tmp_path, finished, capsys):
    assert main([str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.startswith("Error: ")
    run = finished("model=resnet34")
    run.metrics_file.unlink()
    with pytest.raises(UserError, match="no complete run"):
        report_of(run)
