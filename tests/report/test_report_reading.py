"""A report is read from top to bottom: numbers agree, details are folded, and no sentence or table is about nothing."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bus_lightning.report.condition_options import option_items
from bus_lightning.report.estimates import estimate, write_p
from bus_lightning.report.figures.forest import forest
from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.figures.predictions import confusion
from bus_lightning.report.figures.sample_size import sample_size_figure
from bus_lightning.report.making import count_images, make_report
from bus_lightning.report.sections import FigureItem, Note, Section, TableItem, fold
from bus_lightning.report.writing import write_report
from bus_lightning.statistics.conditions import read_group
from bus_lightning.statistics.sample_size import smallest_difference


def cases_of(labels, predictions, prefix="", part="test"):
    """Make cases whose class is predicted with 0.8."""
    names = ["benign", "malignant", "normal"]
    table = pd.DataFrame({"label": labels, "split": part})
    table["id"] = [f"{prefix}{label}/{label} ({number})" for number, label in enumerate(labels)]
    for name in names:
        table[f"prob_{name}"] = np.where(np.array(predictions) == name, 0.8, 0.1)
    return table


def report_of(run):
    page = make_report([run.path.parent])
    return page.parent, (page.parent / "report.md").read_text("utf-8")


def row_of(text, *beginning):
    """Return the cells of the first row of a Markdown table that begins like this."""
    start = "| " + " | ".join(beginning) + " |"
    return [
        cell.strip() for cell in next(line for line in text.splitlines() if line.startswith(start)).split("|")[1:-1]
    ]


@pytest.mark.slow
def test_a_metric_has_the_same_value_in_every_table(finished):
    labels = ["benign"] * 86 + ["malignant"] * 42 + ["normal"]
    wrong = ["malignant"] * 22 + labels[22:]  # 107 of 129 are right: 0.82946, and 0.8295 would become 0.830
    cases = pd.concat([cases_of(labels, wrong), cases_of(labels[80:], labels[80:], "val/", "val")])
    folder, text = report_of(finished("group=one", "model=resnet34", cases=cases))
    scores = row_of(text, "resnet34", "1", "129")
    assert scores[4].startswith("0.829 (")
    assert row_of(text, "resnet34", "test", "accuracy")[3] == "0.829"
    exact = pd.read_csv(folder / "tables" / "classification_all_metrics.csv").query("part == 'test'")
    assert exact.set_index("metric").loc["accuracy", "value"] == pytest.approx(107 / 129, abs=1e-6)


@pytest.mark.slow
def test_a_table_of_comparisons_has_only_those_that_were_made(finished):
    labels = ["benign", "malignant", "normal"] * 10
    first = finished("group=apart", "model=resnet34", cases=cases_of(labels, labels))
    finished("group=apart", "model=alexnet", cases=cases_of(labels, labels, "other/"))
    folder, text = report_of(first)
    assert "None of 2 comparisons of two conditions could be made" in text
    assert not (folder / "tables" / "comparisons_classification.csv").exists()
    assert "0 of 0" not in text

    finished("group=apart", "model=resnet50", cases=cases_of(labels, labels[1:] + labels[:1]))
    folder, text = report_of(first)
    table = pd.read_csv(folder / "tables" / "comparisons_classification.csv")
    assert set(zip(table["A"], table["B"], strict=True)) == {("resnet34", "resnet50")}
    assert "4 more were not made" in text
    assert set(table["p, mcnemar"]) == {"< 0.001"}  # 2 to the power of -29: no p is 0


def test_no_p_value_is_written_as_zero_and_an_undefined_one_is_a_dash():
    assert [write_p(p) for p in (0.0, 2**-29, 0.001, 0.0456, 1.0)] == ["< 0.001", "< 0.001", "0.001", "0.046", "1.000"]
    assert write_p(float("nan")) == "-"


@pytest.mark.slow
def test_an_interval_without_width_is_no_certainty(finished):
    labels = ["benign"] * 14 + ["malignant"] * 7 + ["normal"] * 2
    _, text = report_of(finished("group=flat", "model=resnet34", cases=cases_of(labels, ["benign"] * 23)))
    assert re.search(r"has no width for resnet34: .* That is no certainty", text)
    _, text = report_of(finished("group=real", "model=resnet34", sure=0.5))
    assert "has no width" not in text


@pytest.mark.slow
def test_the_line_of_the_most_frequent_class_is_drawn_only_where_it_is_the_same_for_all(finished):
    labels = ["benign", "malignant", "normal"] * 10
    more = ["benign"] * 10
    first = finished("group=line", "model=resnet34", cases=cases_of(labels, labels[1:] + labels[:1]))
    assert "Dashed: always predicting" in report_of(first)[1]
    finished("group=line", "model=alexnet", cases=cases_of(labels + more, labels + more, "other/"))
    assert "Dashed: always predicting" not in report_of(first)[1]


def test_an_image_counts_once_whether_its_set_is_used_alone_or_with_another(finished):
    labels = ["benign", "malignant", "normal"] * 4
    alone = finished("group=sets", "model=resnet34", "data=busi", "name=alone", cases=cases_of(labels, labels))
    both = pd.concat([cases_of(labels, labels, "busi/"), cases_of(labels, labels, "bus_bra/")])
    finished("group=sets", "model=alexnet", "data=[busi,bus_bra]", "data.root=null", "name=both", cases=both)
    assert count_images(read_group(alone.path.parent).conditions) == 24


def test_the_lines_of_sample_size_reach_their_marks():
    (item,) = sample_size_figure({"segmentation": {"Dice": (0.0279, 21), "IoU": (0.001, 50_000)}})
    (panel,) = [axis for axis in item.figure.axes if axis.get_title()]
    drawn = [line for line in panel.lines if len(line.get_xdata()) > 2]
    marks = [line for line in panel.lines if len(line.get_xdata()) == 1]
    for line, mark, (se, n) in zip(drawn, marks, [(0.0279, 21), (0.001, 50_000)], strict=True):
        x, y = line.get_data()
        assert x[0] <= n <= x[-1] * (1 + 1e-9)
        assert np.interp(np.log(n), np.log(x), np.log(y)) == pytest.approx(np.log(smallest_difference(se)), abs=1e-9)
        assert mark.get_xdata()[0] == n


def test_a_long_title_of_a_panel_stays_within_it():
    table = pd.DataFrame([{"metric": metric, "value": 0.8, "low": 0.7, "high": 0.9, "n": 9}
                          for metric in ("accuracy", "auroc_macro", "malignant_vs_benign_auroc")])  # fmt: skip
    item = forest({"resnet34": table}, list(table["metric"]))
    canvas = FigureCanvasAgg(item.figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    for axis in item.figure.axes:
        box = axis.title.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.x1 <= item.figure.bbox.width


def test_options_that_differ_are_listed_and_a_group_that_only_some_use_is_one_column(finished):
    first = finished("group=options", "model=resnet34", "optimizer.lr=1e-3", "augment=none")
    finished("group=options", "model=resnet34", "optimizer.lr=1e-4", "augment=affine", "seed=1")
    conditions = read_group(first.path.parent).conditions
    (item,) = option_items(conditions)
    assert item.folded
    assert {"condition", "optimizer.lr", "augment.affine"} <= {*item.frame}
    assert not [name for name in item.frame if name.startswith(("augment.affine.", "seed"))]
    assert sorted(item.frame["augment.affine"]) == ["-", "yes"]
    assert sorted(item.frame["optimizer.lr"]) == ["0.0001", "0.001"]
    assert not option_items(conditions[:1])


def test_where_the_name_of_a_run_was_cut_its_label_says_the_options(finished):
    hashes = ["12170efcd0b10440", "1460999c7987a737", "2ac9f1cd57256572"]
    for number, rate in zip(hashes, ("1e-3", "1e-4", "1e-3"), strict=True):
        augment = "affine" if number == hashes[2] else "none"
        run = finished("group=cut", "model=resnet34", f"name=resnet34__data.size-192_-{number}",
                       f"optimizer.lr={rate}", f"augment={augment}")  # fmt: skip
    labels = labels_of(read_group(run.path.parent).conditions)
    assert labels[f"resnet34__data.size-192_-{hashes[0]}"] == "resnet34"
    assert labels[f"resnet34__data.size-192_-{hashes[1]}"] == "lr=0.0001"
    assert labels[f"resnet34__data.size-192_-{hashes[2]}"].startswith("affine")


def test_a_label_of_many_options_leaves_a_figure_room_for_its_panels(finished):
    finished("group=many", "model=resnet34", "name=resnet34__data.size-192_-12170efcd0b10440")
    finished("group=many", "model=resnet50")
    changed = ["optimizer=adamw", "optimizer.lr=0.00123456789", "data.mean=[0.123456,0.123456,0.123456]",
               "data.std=[0.123456,0.123456,0.123456]", "augment=scaled", "data.resize=pad", "data.batch_size=7",
               "preprocess=clean", "data.balance=oversample"]  # fmt: skip
    run = finished("group=many", "model=alexnet", "name=other", *changed)
    conditions = read_group(run.path.parent).conditions
    label = labels_of(conditions)["other"]
    assert label.startswith("alexnet, ")
    assert label.endswith(", ...")
    assert len(label) <= 72
    for item in confusion(conditions, "test"):
        FigureCanvasAgg(item.figure).draw()  # a warning is an error


def test_a_number_is_not_broken_at_its_point_and_a_repeated_name_is_written_once(tmp_path):
    name = "a_long_name_of_a_condition__data.size-128"
    table = TableItem("t", "c", pd.DataFrame({"condition": [name, name, "short", "short"], "words": list("wxyz")}))
    write_report(tmp_path / "r", "T", "", [Section("S", f"{name} has 0.886 (0.1234567890123456).", [table])], {})
    html = (tmp_path / "r" / "index.html").read_text("utf-8")
    assert "0.886" in html
    assert "0.1234567890123456" in html
    assert re.findall(r'<span class="same" role="img" aria-label="(.*?)"', html) == [name, "short"]
    assert html.count("<wbr>") > 2


def folded_sections():
    table = TableItem("more", "More", pd.DataFrame({"x": [1]}))
    figure = FigureItem("drawn", "Drawn", Figure(figsize=(2, 2)), "Nothing")
    shown = TableItem("main", "Main", pd.DataFrame({"x": [2]}))
    last = TableItem("last", "Last", pd.DataFrame({"x": [3]}))
    return [Section("S", "", [shown, *fold("Details", [table, figure]), Note("Seen."), *fold("Every <row>", [last])])]


def test_details_are_folded_with_their_labels_and_notes_stay_open(tmp_path):
    write_report(tmp_path / "r", "T", "", folded_sections(), {})
    html = (tmp_path / "r" / "index.html").read_text("utf-8")
    parts = re.findall(r'<details class="more"><summary>(.*?)</summary>(.*?)</details>', html, re.DOTALL)
    assert [heading for heading, _ in parts] == ["Details (Table 2, Figure 1)", "Every &lt;row&gt; (Table 3)"]
    assert all(place in parts[0][1] for place in ('id="table-more"', 'id="figure-drawn"'))
    outside = re.sub(r'<details class="more">.*?</details>', "", html, flags=re.DOTALL)
    assert 'id="table-main"' in outside
    assert "Seen." in outside
    markdown = (tmp_path / "r" / "report.md").read_text("utf-8")
    assert "<details><summary>Details (Table 2, Figure 1)</summary>\n\n" in markdown
    assert markdown.count("<details>") == markdown.count("</details>") == 2


@pytest.mark.browser
def test_a_link_into_a_closed_part_opens_it(tmp_path, browser):
    write_report(tmp_path / "r", "T", "", folded_sections(), {})
    address = (tmp_path / "r" / "index.html").as_uri()
    page = browser.new_page()
    page.goto(address)
    assert not page.locator("#table-more").is_visible()
    page.goto(f"{address}#table-more")
    assert page.locator("#table-more table").is_visible()
    page.close()


def test_no_number_is_written_as_minus_zero():
    assert estimate(-0.0001, -0.0161, -0.0004) == "0.000 (-0.016 to 0.000)"
