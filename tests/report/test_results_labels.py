"""No number stands under a wrong name: kept and new conditions, changed tables, and the protocol."""

from dataclasses import replace

from results_pages import make_page, make_row, write_record

from bus_lightning.report.results.kept import merge, with_own_labels
from bus_lightning.report.results.making import _describe_protocol
from bus_lightning.report.results.plan import Table
from bus_lightning.runs.protocol import read_protocol

TABLE = Table("scores", ("folded", "gone"), "classification", ("accuracy",))


def test_kept_and_new_conditions_with_one_short_name_are_told_apart(folded_runs, page_and_plan, tmp_path):
    page, _ = page_and_plan
    write_record(
        page,
        make_row(condition="resnet34__data.size-64", value=0.1),
        make_row(condition="resnet34", group="gone", value=0.2),
    )
    text, content = make_page(page_and_plan, tmp_path)
    names = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ResNet-34")]
    assert names == [
        "| ResNet-34, data.size-64, folded", "| ResNet-34, data.split.folds-2, folded", "| ResNet-34, gone",
    ]  # fmt: skip
    assert make_page(page_and_plan, tmp_path) == (text, content)


def test_labels_that_are_unique_stay_and_others_get_the_group_or_the_whole_name():
    alone, same = make_row(label="small"), make_row(condition="resnet34__a")
    other, far = make_row(condition="resnet34__b"), make_row(group="gone", condition="resnet34__a__gone")
    labels = [row.label for row in with_own_labels([replace(alone, condition="x"), same, other])]
    assert labels == ["small", "resnet34__a", "resnet34__b"]
    assert [row.label for row in with_own_labels([same, far])] == ["resnet34, folded", "resnet34, gone"]


def test_a_kept_number_of_another_part_task_or_metric_is_not_shown_in_a_changed_table():
    row = make_row()
    others = [make_row(part="val"), make_row(task="segmentation"), make_row(metric="f1_macro"), make_row(group="else")]
    assert merge([], [row, *others], TABLE) == [replace(row, kept=True)]


def test_cells_of_several_sets_are_not_mixed_when_a_table_across_becomes_one_of_scores():
    rows = [make_row(), make_row(data="bus_bra", value=0.1)]
    assert merge([], rows, TABLE) == []
    across = replace(TABLE, kind="across")
    assert [row.data for row in merge([], rows, across)] == ["busi", "bus_bra"]
    assert merge([], [make_row(trained=("a", "b"), data="a + b")], across) == []


def test_the_order_of_conditions_is_the_same_before_and_after_their_runs_are_gone():
    first, second = make_row(condition="a"), make_row(condition="b")
    assert [row.condition for row in merge([second], [first], TABLE)] == ["a", "b"]
    assert [row.condition for row in merge([first, second], [], TABLE)] == ["a", "b"]


def test_a_group_is_trained_under_a_protocol_only_in_part_if_some_of_its_runs_are_not(page_and_plan, tmp_path):
    file = tmp_path / "protocol.md"
    file.write_text(
        "```yaml protocol\nprimary_metric: {classification: accuracy}\nsplit: {method: grouped, folds: 2}\n"
        "seeds: [0]\nselection: val\ntest_openings: 1\nconditions:\n  folded: {options: {}}\n```\n"
    )
    text = read_protocol(file)
    rows = [
        make_row(protocol_sha256=text.hash),
        make_row(condition="b"),
        make_row(group="x", protocol_sha256=text.hash),
    ]
    assert _describe_protocol(text, file, rows).endswith("under this text: folded (in part), x.")
