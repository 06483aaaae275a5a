"""A report says what a network trained on one data set does on another, with its interval, and what is lacking."""

import shlex
from glob import glob

import pytest
from across_runs import count, describe, draw_cases, evaluate, notes_of, score, section_of, table_of, write_sets

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.report.figures.inputs import wrapped
from bus_lightning.report.sections import FigureItem, TableItem
from bus_lightning.runs.folder import RunDir

THREE = ("prob_benign", "prob_malignant", "prob_normal")


def test_a_cell_has_the_score_its_interval_by_patient_and_the_numbers_of_images_and_patients(trained_on):
    run = trained_on("busi")
    cases = draw_cases("bus_bra", 80, sure=0.5)
    evaluate(run, "bus_bra", cases, patients=40)
    row = table_of(section_of(run), "across_classification_auroc_macro").loc["busi"]
    own = row["tested on busi"]
    assert own.startswith(score(draw_cases("busi")))
    assert own.endswith("; 60 images, 30 patients; same set, held-out")
    other = row["tested on bus_bra"]
    assert other.startswith(score(cases))
    assert other.endswith("; 80 images, 40 patients")


def test_the_interval_is_by_group_and_not_by_image(trained_on):
    """Each image is there twice: as groups of two, the interval is wider than that of so many single images."""
    run, widths = trained_on("busi"), {}
    cases = draw_cases("shared", 80, sure=0.5).loc[[k // 2 for k in range(160)]].reset_index(drop=True)
    cases["id"] = [f"{id_}-{k % 2}" for k, id_ in enumerate(cases["id"])]
    for per_group, name in ((1, "bus_bra"), (2, "breast")):
        evaluate(run, name, cases, per_group=per_group)
        cell = table_of(section_of(run), "across_classification_auroc_macro").loc["busi", f"tested on {name}"]
        assert f"160 images, {160 // per_group} groups" in cell
        low, high = cell.partition("(")[2].partition(")")[0].split(" to ")
        widths[per_group] = float(high) - float(low)
    assert widths[2] > 1.2 * widths[1]


def test_an_empty_cell_names_the_command_that_fills_it(trained_on):
    trained_on("busi")
    run = trained_on("bus_bra")
    section = section_of(run)
    assert table_of(section, "across_classification_auroc_macro").loc["bus_bra", "tested on busi"] == "not evaluated"
    commands = table_of(section, "across_commands")
    command = f"python evaluate.py runs={run.path} data=busi 'data.classes=[benign,malignant]'"
    assert commands.loc["bus_bra", "command"] == command


@pytest.mark.parametrize("seed_of_other", [3, 21])
def test_the_command_names_the_runs_of_its_condition_and_no_others(trained_on, seed_of_other):
    own = {str(trained_on("busi", "name=net-2").path), str(trained_on("busi", "name=net-25", "seed=25").path)}
    run = trained_on("bus_bra", f"name=net-{seed_of_other}")
    command = table_of(section_of(run), "across_commands").loc["busi", "command"]
    named = shlex.split(command)[2].removeprefix("runs=")
    listed = named.strip("[]").split(",") if named.startswith("[") else glob(named)
    assert set(listed) == own
    assert named.startswith("[") == (seed_of_other == 21)


def test_a_layout_needs_its_folder_in_the_command(trained_on):
    run = trained_on("busi")
    other = trained_on("bus_bra")
    evaluate(other, "hospital", draw_cases("h"), described=describe("folder"))
    commands = table_of(section_of(run), "across_commands").set_index("tested on")["command"]
    assert commands["hospital"].endswith("data=folder data.root=FOLDER 'data.classes=[benign,malignant]'")


def test_an_evaluation_of_images_seen_in_training_is_left_out_and_counted(trained_on):
    run = trained_on("busi")
    evaluate(run, "bus_bra", draw_cases("bus_bra"), seen=7)
    section = section_of(run)
    cell = table_of(section, "across_classification_auroc_macro").loc["busi", "tested on bus_bra"]
    assert cell == "left out: 7 of these images were seen in training"
    assert table_of(section, "across_commands").loc["busi", "command"].endswith("split=unseen")
    evaluate(
        run, "bus_bra", fresh := draw_cases("fresh"), when="2025-01-01T00:00:00+00:00"
    )  # an older one without them
    cell = table_of(section_of(run), "across_classification_auroc_macro").loc["busi", "tested on bus_bra"]
    assert cell.startswith(score(fresh))


def test_the_newest_evaluation_of_a_data_set_counts(trained_on):
    run = trained_on("busi")
    evaluate(run, "bus_bra", draw_cases("old", sure=3.0), when="2026-01-01T00:00:00+00:00")
    evaluate(run, "bus_bra", newest := draw_cases("new", sure=0.3), when="2026-03-01T00:00:00+00:00")
    evaluate(run, "bus_bra", draw_cases("older", sure=3.0), when="2025-02-01T00:00:00+00:00")
    cell = table_of(section_of(run), "across_classification_auroc_macro").loc["busi", "tested on bus_bra"]
    assert cell.startswith(score(newest))


def test_a_newer_evaluation_of_another_part_hides_no_test_images(trained_on):
    run = trained_on("busi")
    evaluate(run, "bus_bra", tested := draw_cases("bus_bra"), when="2026-01-01T00:00:00+00:00")
    validated = evaluate(run, "bus_bra", draw_cases("fresh"), when="2026-03-01T00:00:00+00:00")
    validated.write_cases(draw_cases("fresh", split="val"))
    cell = table_of(section_of(run), "across_classification_auroc_macro").loc["busi", "tested on bus_bra"]
    assert cell.startswith(score(tested))


def test_seeds_are_averaged_and_runs_with_an_evaluation_are_counted(trained_on):
    runs = [trained_on("busi", f"seed={seed}") for seed in (0, 1)]
    cases = [draw_cases("bus_bra", sure=sure) for sure in (0.2, 2.0)]
    evaluate(runs[0], "bus_bra", cases[0])
    table = table_of(section_of(runs[0]), "across_classification_auroc_macro")
    assert table.loc["busi", "runs"] == 2
    assert table.loc["busi", "tested on bus_bra"].startswith(score(cases[0]))
    assert table.loc["busi", "tested on bus_bra"].endswith("; 1 of 2 runs")
    evaluate(runs[1], "bus_bra", cases[1])
    cell = table_of(section_of(runs[0]), "across_classification_auroc_macro").loc["busi", "tested on bus_bra"]
    mean = sum(metrics_of(table)["auroc_macro"] for table in cases) / 2
    assert cell.startswith(f"{mean:.3f} (")
    assert cell.endswith("60 images, 30 groups")


def test_a_class_that_a_test_set_lacks_is_named_and_the_lesions_alone_are_scored(trained_on):
    three = "data.classes=[benign,malignant,normal]"
    run = trained_on("busi", classes=three, names=THREE, classes_of_cases=("benign", "malignant", "normal"))
    evaluate(run, "bus_bra", cases := draw_cases("bus_bra", names=THREE))
    section = section_of(run)
    assert "No image of class normal in bus_bra" in notes_of(section)
    assert (
        "undefined: no image of class normal"
        in (table_of(section, "across_classification_auroc_macro").loc["busi", "tested on bus_bra"])
    )
    lesions = table_of(section, "across_classification_malignant_vs_benign_auroc").loc["busi", "tested on bus_bra"]
    assert lesions.startswith(score(cases, "malignant_vs_benign_auroc"))
    (figure,) = (item for item in section.items if isinstance(item, FigureItem))
    assert [axis.get_title() for axis in figure.figure.axes] == ["AUC, malignant against benign"]


def test_a_score_that_is_undefined_everywhere_has_no_table(trained_on):
    run = trained_on("busi", classes="data.classes=[benign,malignant,normal]", names=THREE)
    evaluate(run, "bus_bra", draw_cases("bus_bra", names=THREE))
    slugs = [item.slug for item in section_of(run).items if isinstance(item, TableItem)]
    assert slugs == ["across_classification_malignant_vs_benign_auroc", "across_sets"]


def test_a_run_of_an_earlier_version_is_named_by_its_config(trained_on):
    run = trained_on("busi", sets=False)
    evaluate(run, "bus_bra", draw_cases("bus_bra"))
    cell = table_of(section_of(run), "across_classification_auroc_macro").loc["busi", "tested on busi"]
    assert cell.endswith("60 images, 30 groups; same set, held-out")


def test_a_set_that_no_run_describes_is_named_below_the_differences(trained_on):
    run = trained_on("busi", sets=False)
    evaluate(run, "bus_bra", draw_cases("bus_bra"))
    (item,) = (item for item in section_of(run).items if getattr(item, "slug", "") == "across_sets")
    assert list(item.frame) == ["", "bus_bra"]
    assert "Without busi: its runs are of an earlier version" in item.caption


def test_an_evaluation_of_its_own_images_describes_the_set_of_an_older_run(trained_on):
    run = trained_on("busi", sets=False)
    evaluate(run, "bus_bra", draw_cases("bus_bra"))
    again = run.path / "evaluations" / "own"
    again.mkdir()
    for file in (run.split, run.cases, run.metrics_file, run.status_file):
        (again / file.name).write_bytes(file.read_bytes())
    write_sets(RunDir(again), {"busi": describe("busi", 77)}, {"busi": count(60, 31)}, train=["busi"])
    section = section_of(run)
    assert table_of(section, "across_sets").loc["images", "busi"] == "77"
    cell = table_of(section, "across_classification_auroc_macro").loc["busi", "tested on busi"]
    assert cell.endswith("60 images, 31 patients; same set, held-out")


def test_of_several_training_sets_each_has_its_held_out_images(trained_on_two):
    test = {name: draw_cases("t", prefix=f"{name}/", sure=sure) for name, sure in (("busi", 2.0), ("bus_bra", 0.5))}
    table = table_of(section_of(trained_on_two(test)), "across_classification_auroc_macro")
    for name, cases in test.items():
        cell = table.loc["busi + bus_bra", f"tested on {name}"]
        assert cell.startswith(score(cases))
        assert cell.endswith("60 images, 60 patients; same set, held-out")


def test_a_set_that_is_tested_whole_is_not_called_a_training_set(trained_on_two):
    run = trained_on_two({"breast": draw_cases("t", prefix="breast/")}, "data.test=breast")
    section = section_of(run)
    row = table_of(section, "across_classification_auroc_macro").loc["busi + bus_bra"]
    assert row["tested on breast"].endswith("60 images, 60 patients")
    assert row["tested on busi"] == row["tested on bus_bra"] == "no held-out images"
    assert not [item for item in section.items if getattr(item, "slug", "") == "across_commands"]


def test_segmenters_have_a_matrix_of_dice_and_iou_per_image(trained_on):
    run = trained_on("busi", model="unet", names=())
    evaluate(run, "bus_bra", cases := draw_cases("bus_bra", names=(), sure=0.7))
    for metric in ("dice_image", "iou_image"):
        cell = table_of(section_of(run), f"across_segmentation_{metric}").loc["busi", "tested on bus_bra"]
        assert cell.startswith(score(cases, metric))


def test_a_segmenter_is_tested_on_images_of_any_class(trained_on):
    run = trained_on("busi", model="unet", names=())
    evaluate(run, "hospital", cases := draw_cases("h", names=(), classes=("unlabelled",)))
    section = section_of(run)
    cell = table_of(section, "across_segmentation_dice_image").loc["busi", "tested on hospital"]
    assert cell.startswith(score(cases, "dice_image"))
    assert "No image of class" not in notes_of(section)


def test_several_networks_have_a_row_each_with_their_name(trained_on):
    for model in ("resnet34", "alexnet"):
        run = trained_on("busi", model=model)
    trained_on("bus_bra")
    table = table_of(section_of(run), "across_classification_auroc_macro")
    assert table.loc["bus_bra", "network"] == "resnet34"
    assert table.loc["busi", "network"].tolist() == ["alexnet", "resnet34"]


def test_the_figure_has_the_numbers_of_the_table_and_frames_the_own_sets(trained_on):
    run = trained_on("busi")
    evaluate(run, "bus_bra", cases := draw_cases("bus_bra"))
    (item,) = (item for item in section_of(run).items if isinstance(item, FigureItem))
    panel = item.figure.axes[0]
    texts = [text.get_text() for text in panel.texts]
    assert f"{metrics_of(cases)['auroc_macro']:.2f}" in texts
    assert texts.count("n = 60") == 2
    assert [frame.get_x() for frame in panel.patches] == pytest.approx([-0.48])  # of the first column
    assert "trained on busi, tested on bus_bra" in item.alt


def test_a_long_name_of_a_row_is_broken_into_lines_that_fit():
    lines = wrapped("hospital, classes--benign-malignant--ea8d67e3, a_network_of_several_words", 18).split("\n")
    assert max(map(len, lines)) <= 18
    assert "".join(lines) == "hospital,classes--benign-malignant--ea8d67e3,a_network_of_several_words"


def test_a_long_name_of_a_folder_leaves_room_for_the_cells(trained_on):
    """Warnings are errors here: the figure has no room for 255 letters."""
    run = trained_on("busi", sets=False)
    name = "L" * 255
    write_sets(run, {name: describe(name)}, {name: count(60)}, train=[name])
    evaluate(run, "bus_bra", draw_cases("bus_bra"))
    (figure,) = (item for item in section_of(run).items if isinstance(item, FigureItem))
    shown = [text.get_text().replace("\n", "") for axes in figure.figure.axes for text in axes.get_yticklabels()]
    assert f"{'L' * 57}..." in shown
