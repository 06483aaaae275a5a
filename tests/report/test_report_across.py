"""A report says what a network trained on one data set does on another, and what differs between the sets."""

import pandas as pd
import pytest
from across_runs import count, describe, draw_cases, evaluate, with_validation, write_sets
from omegaconf import OmegaConf

from bus_lightning.data.phantom import draw_phantom
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.report.across_section import across_section
from bus_lightning.report.figures.inputs import wrapped
from bus_lightning.report.figures.pictures import data_sample, find_data
from bus_lightning.report.sections import FigureItem, Note, TableItem
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import read_group

TWO = "data.classes=[benign,malignant]"
THREE = ("prob_benign", "prob_malignant", "prob_normal")


@pytest.fixture
def trained_on(finished):
    """Write a run that was trained on one data set, and tested on 60 of its images of 30 patients."""

    def make(
        name, *more, sets=True, model="resnet34", classes=TWO, classes_of_cases=("benign", "malignant"), **options
    ):
        options |= {"classes": classes_of_cases}
        names = options.get("names", ("prob_benign", "prob_malignant"))
        test = draw_cases(name, **options)
        whole = with_validation(test, name, names=names)
        groups = {id_: k // 2 for k, id_ in enumerate(whole["id"])}
        run = finished("group=across", f"data={name}", classes, f"model={model}", *more, cases=whole, groups=groups)
        run.update_status(data=f"hash of {name}")
        if sets:
            write_sets(run, {name: describe(name)}, {name: count(len(test), 30)}, train=[name])
        return run

    return make


@pytest.fixture
def trained_on_two(finished):
    """Write a run that was trained on BUSI and BUS-BRA; `test` are the cases of its test part by data set."""

    def make(test, *more):
        cases = with_validation(pd.concat(test.values(), ignore_index=True), "v", prefix="busi/")
        run = finished("group=across", "data=[busi,bus_bra]", "data.root=null", TWO, *more, cases=cases)
        parts = {name: count(len(own), len(own)) for name, own in test.items()}
        sets = {name: describe(name) for name in ("busi", "bus_bra", *test)}
        write_sets(run, sets, parts, train=["busi", "bus_bra"])
        return run

    return make


def section_of(run):
    return across_section(read_group(run.path.parent).conditions, None)


def table_of(section, slug):
    (table,) = (item.frame for item in section.items if isinstance(item, TableItem) and item.slug == slug)
    return table.set_index(table.columns[0])


def notes_of(section):
    return " ".join(item.text for item in section.items if isinstance(item, Note))


def score(cases, metric="auroc_macro"):
    return f"{metrics_of(cases)[metric]:.3f} ("


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
    assert "no image of class" not in notes_of(section)


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


def test_what_differs_between_the_sets_is_a_table(trained_on):
    run = trained_on("busi")
    described = describe("breast", 252, patients=None, devices={}, median_lesion_mm=13.04, share_tinted=0.44)
    evaluate(run, "breast", draw_cases("breast"), described=described)
    table = table_of(section_of(run), "across_sets")
    assert table["breast"].to_dict() == {
        "images": "252", "patients": "not known", "classes": "benign 126 (50%), malignant 126 (50%)",
        "device": "not known", "size of an image": "500 x 400 pixels", "lesion, share of the image": "8.0%",
        "lesion, diameter": "13.0 mm", "tinted images": "44.0%", "images with text or calipers burned in": "50.0%",
        "groups of near-duplicates": "3",
    }  # fmt: skip
    assert table.loc["lesion, diameter", "busi"] == "not known"


def test_a_report_on_one_data_set_has_no_such_section(trained_on):
    run = trained_on("busi")
    assert section_of(run) is None
    evaluate(run, "busi", draw_cases("busi"))
    assert section_of(run) is None


@pytest.mark.parametrize("file", ["sets.json", "cases.csv", "split.json"])
def test_a_damaged_evaluation_is_named_by_the_checks_and_its_cell_is_empty(trained_on, file):
    trained_on("bus_bra")
    run = trained_on("busi")
    folder = evaluate(run, "bus_bra", draw_cases("bus_bra"))
    (folder.path / file).write_text("{")
    group = read_group(run.path.parent)
    assert [problem.kind for problem in find_problems(group.conditions) if str(folder.path) in problem.text] == [
        "files"
    ]
    table = table_of(across_section(group.conditions, None), "across_classification_auroc_macro")
    assert table.loc["busi", "tested on bus_bra"] == "not evaluated"


@pytest.mark.parametrize(
    "content", ['{"sets": []}', '{"sets": {"busi": {"images": -1}}}', '{"parts": {"test": 3}}', '{"seen": "many"}',
                '{"sets": {"busi": {"share_marked": 2}}}', '{"parts": {"test": {"busi": {"images": 1.5}}}}']
)  # fmt: skip
def test_an_impossible_value_in_sets_json_is_damage_and_the_report_is_written_without_it(trained_on, content):
    trained_on("bus_bra")
    run = trained_on("busi")
    run.sets.write_text(content)
    group = read_group(run.path.parent)
    assert [problem.kind for problem in find_problems(group.conditions) if "sets.json is damaged" in problem.text]
    assert across_section(group.conditions, None) is None  # the other run alone has one set


def test_pictures_of_several_sets_name_all_of_them(small_phantom, tmp_path):
    draw_phantom(tmp_path / "other", images=12, seed=1)
    sets = {name: {"source": "folder", "root": str(root)}
            for name, root in (("busi", small_phantom), ("mine", tmp_path / "other"))}  # fmt: skip
    root, frame = find_data(OmegaConf.create({"data": {"sets": sets}}))
    figure = data_sample(root, frame, per_class=2)
    assert figure.caption.endswith("Images of the data sets busi, mine.")
    assert "n = 24" in figure.caption


def test_a_run_whose_sets_json_names_no_set_is_left_out_of_the_matrix(trained_on):
    run = trained_on("bus_bra")
    evaluate(run, "breast", draw_cases("breast"))
    trained_on("busi").sets.write_text("{}")
    assert list(table_of(section_of(run), "across_classification_auroc_macro").index) == ["bus_bra"]


def test_more_data_sets_than_a_report_could_show_are_damage(trained_on):
    trained_on("bus_bra")
    run = trained_on("busi")
    names = [f"set{number}" for number in range(101)]
    write_sets(run, {name: describe(name) for name in names}, {name: count(1) for name in names})
    group = read_group(run.path.parent)
    assert [problem for problem in find_problems(group.conditions) if "at most 100 data sets" in problem.text]
    assert across_section(group.conditions, None) is None


def test_a_long_name_of_a_folder_leaves_room_for_the_cells(trained_on):
    """Warnings are errors here: the figure has no room for 255 letters."""
    run = trained_on("busi", sets=False)
    name = "L" * 255
    write_sets(run, {name: describe(name)}, {name: count(60)}, train=[name])
    evaluate(run, "bus_bra", draw_cases("bus_bra"))
    (figure,) = (item for item in section_of(run).items if isinstance(item, FigureItem))
    shown = [text.get_text().replace("\n", "") for axes in figure.figure.axes for text in axes.get_yticklabels()]
    assert f"{'L' * 57}..." in shown
