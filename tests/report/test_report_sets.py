"""A report says what differs between its data sets, and is written without a description that is damaged."""

import pytest
from across_runs import count, describe, draw_cases, evaluate, section_of, table_of, write_sets
from omegaconf import OmegaConf

from bus_lightning.data.phantom import draw_phantom
from bus_lightning.report.across_section import across_section
from bus_lightning.report.figures.pictures import data_sample, find_data
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import read_group


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
