"""The paper's numbers: what can be derived from them is derived again, and ours are next to them."""

import math
import re
from itertools import product
from statistics import harmonic_mean

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from bus_lightning.paper import arithmetic, contradictions
from bus_lightning.paper import numbers as paper
from bus_lightning.paper.measured import Measured
from bus_lightning.paper.tables import paper_tables
from bus_lightning.statistics.intervals import wilson

MACRO = ("precision_macro", "recall_macro", "f1_macro")


def summary(n=156, runs=1, reason="", **metrics):
    """Make what `summarise` gives; each metric with an interval of 0.05 on both sides."""
    rows = [{"metric": name, "value": value, "low": value - 0.05, "high": value + 0.05, "n": n,
             "mean_of_runs": value, "sd_of_runs": math.nan, "runs": runs, "reason": reason}
            for name, value in metrics.items()]  # fmt: skip
    return pd.DataFrame(rows)


def scored(matrix):
    """Score a confusion matrix with scikit-learn."""
    cells = [(row, column) for row in range(3) for column in range(3) for _ in range(matrix[row][column])]
    truth, answers = zip(*cells, strict=True)
    assert confusion_matrix(truth, answers).tolist() == matrix
    options = {"average": "macro", "zero_division": 0}
    return [score(truth, answers, **options) for score in (precision_score, recall_score, f1_score)]


def table_4(test, reasons):
    return paper_tables({}, test, reasons)[2]


def row_of(table, model):
    return next(row for row in table.frame.to_dict("records") if row["model"] == model)


# What follows from the paper's numbers


def test_accuracies_are_multiples_of_one_in_79_and_one_in_156():
    assert arithmetic.denominators(paper.accuracies(paper.VALIDATION)) == [79, 158]
    assert arithmetic.denominators(paper.accuracies(paper.TEST)) == [156]
    assert [round(value * 79) for value in paper.accuracies(paper.VALIDATION)] == [77, 76, 46]
    assert sorted(round(value * 156) for value in paper.accuracies(paper.TEST)) == [77, 84, 88, 95]


def test_the_split_of_the_paper_has_52_validation_images():
    assert arithmetic.split_sizes(780, paper.CLASS_RATIO) == [572, 52, 156]
    assert arithmetic.split_sizes(780, paper.SEGMENTATION_RATIO) == [624, 156]
    assert sum(paper.IMAGES.values()) == 780


@pytest.mark.parametrize("model", arithmetic.CONFUSIONS)
def test_the_confusion_matrices_give_the_printed_row(model):
    matrix = arithmetic.CONFUSIONS[model]
    printed = [paper.value_of(paper.VALIDATION, model, name) for name in MACRO]
    assert scored(matrix) == pytest.approx(printed, abs=5e-5)
    scores = arithmetic.macro_scores(np.array([matrix]))
    assert [scores[name][0] for name in MACRO] == pytest.approx(scored(matrix))
    assert np.trace(matrix) / 79 == pytest.approx(paper.value_of(paper.VALIDATION, model, "accuracy"), abs=5e-5)
    assert tuple(np.sum(matrix, axis=1)) == arithmetic.VALIDATION_COUNTS


def test_resnet50s_row_has_one_confusion_matrix_whatever_the_counts_of_the_classes():
    row = {name: paper.value_of(paper.VALIDATION, "resnet50", name) for name in MACRO}
    every = arithmetic.confusion_matrices(77, 2)
    assert len(np.unique(every, axis=0)) == len(every) == math.comb(79, 2) * 21
    matching = arithmetic.matching(every, row)
    orders = {tuple(sorted(matrix.sum(1))) for matrix in matching}
    assert len(matching) == 6  # one, in the six orders of the classes
    assert orders == {(13, 20, 46)}
    assert arithmetic.with_counts(matching, (46, 20, 13)).tolist() == [arithmetic.CONFUSIONS["resnet50"]]


def test_alexnets_row_has_one_confusion_matrix_on_the_same_counts():
    row = {name: paper.value_of(paper.VALIDATION, "alexnet", name) for name in MACRO}
    matching = []
    for malignant, normal in product(range(21), range(14)):
        benign = 46 - malignant - normal
        a, b, c = np.meshgrid(range(47 - benign), range(21 - malignant), range(14 - normal), indexing="ij")
        matrices = np.zeros((*a.shape, 3, 3), dtype=np.int64)
        matrices[..., range(3), range(3)] = benign, malignant, normal
        matrices[..., 0, 1], matrices[..., 0, 2] = a, 46 - benign - a
        matrices[..., 1, 0], matrices[..., 1, 2] = b, 20 - malignant - b
        matrices[..., 2, 0], matrices[..., 2, 1] = c, 13 - normal - c
        matching += arithmetic.matching(matrices.reshape(-1, 3, 3), row).tolist()
    assert matching == [arithmetic.CONFUSIONS["alexnet"]]


def test_deepcardinals_validation_row_is_impossible():
    row = {name: paper.value_of(paper.VALIDATION, "deepcardinal50", name) for name in MACRO}
    every = arithmetic.confusion_matrices(77, 2)
    assert not len(arithmetic.matching(every, row))
    possible = arithmetic.with_counts(every, arithmetic.VALIDATION_COUNTS)
    assert len(possible) == 21
    assert arithmetic.macro_scores(possible)["recall_macro"].min() > row["recall_macro"] + 0.03
    assert round(harmonic_mean([row["precision_macro"], row["recall_macro"]]), 4) == row["f1_macro"]
    for model in arithmetic.CONFUSIONS:  # theirs are not
        precision, recall, f1 = (paper.value_of(paper.VALIDATION, model, name) for name in MACRO)
        assert abs(harmonic_mean([precision, recall]) - f1) > 2e-4


def test_every_test_loss_is_worse_than_a_third_for_each_class():
    losses = [number.value for number in paper.NUMBERS if number.where == paper.TEST and number.metric == "log_loss"]
    assert len(set(losses)) == 4
    assert min(losses) > math.log(3)


def test_pooled_precision_and_dice_follow_from_accuracy_recall_and_iou():
    pooled = arithmetic.pooled_pixels(0.9702, 0.7961, 0.7063)
    assert pooled == pytest.approx((0.0900, 0.862, 0.828, 0.987), abs=5e-4)


def test_pooled_pixels_are_right_for_any_counts():
    tp, fp, fn, tn = 700, 130, 180, 9000
    total = tp + fp + fn + tn
    pixels = arithmetic.pooled_pixels((tp + tn) / total, tp / (tp + fn), tp / (tp + fp + fn))
    expected = ((tp + fn) / total, tp / (tp + fp), 2 * tp / (2 * tp + fp + fn), tn / (tn + fp))
    assert pixels == pytest.approx(expected)


def test_no_other_score_of_the_classes_explains_the_abstracts_numbers():
    readings = {"recalls", "precisions", "F1 scores", "specificities", "one-against-rest accuracies"}
    for where in (paper.TEST, paper.VALIDATION):
        ruled_out = set()
        for model in ("resnet50", "deepcardinal50"):
            printed = [paper.value_of(paper.ABSTRACT, model, name) for name in paper.IMAGES]
            ruled_out |= set(arithmetic.impossible_readings(printed, paper.value_of(where, model, "accuracy")))
        assert ruled_out == readings


def test_no_true_reading_is_called_impossible():
    generator = np.random.default_rng(0)
    for matrix in generator.integers(1, 40, (200, 3, 3)):
        hits, truth, answers, n = np.diag(matrix), matrix.sum(1), matrix.sum(0), matrix.sum()
        others = n - truth - answers + hits
        readings = {
            "recalls": hits / truth,
            "precisions": hits / answers,
            "F1 scores": 2 * hits / (truth + answers),
            "specificities": others / (n - truth),
            "one-against-rest accuracies": (hits + others) / n,
        }
        for name, values in readings.items():
            assert name not in arithmetic.impossible_readings(np.round(values, 2), hits.sum() / n)


def test_seven_test_images_are_significant_only_when_the_networks_hardly_disagree():
    assert arithmetic.most_disagreements(95 - 88, 156) == 9
    assert arithmetic.mcnemar(8, 1) < 0.05 < arithmetic.mcnemar(9, 2)
    assert arithmetic.most_disagreements(77 - 76, 79) is None


@pytest.mark.parametrize(
    ("right", "n", "low", "high"), [(88, 156, 0.486, 0.639), (95, 156, 0.531, 0.682), (77, 79, 0.912, 0.993)]
)
def test_wilsons_intervals_of_the_papers_accuracies(right, n, low, high):
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-4)


# Its tables, with our numbers next to them


CLASSIFIED = {"accuracy": 0.647, "precision_macro": 0.6, "recall_macro": 0.61, "f1_macro": 0.62, "log_loss": 0.8,
              "auroc_benign": 0.81, "auroc_malignant": 0.82, "auroc_normal": 0.83}  # fmt: skip
SEGMENTED = {"accuracy": 0.95, "recall": 0.8, "precision": 0.7, "iou_pooled": 0.6, "iou_image": 0.55,
             "accuracy_image": 0.94, "recall_image": 0.7}  # fmt: skip


def test_every_number_of_the_paper_is_in_a_separate_row_once():
    places = (paper.SEGMENTATION_TEST, paper.VALIDATION, paper.TEST, paper.ABSTRACT)
    tables = dict(zip(places, paper_tables({}, {}, {}), strict=True))
    for number in paper.NUMBERS:
        cells = row_of(tables[number.where], paper.NAMES[number.model]).values()
        assert any(cell.split(" ")[0].rstrip("*") == number.printed for cell in cells), number
    cells = [cell for table in tables.values() for cell in table.frame.to_numpy().ravel()]
    assert sum(bool(re.match(r"\d\.\d", cell)) for cell in cells) == len(paper.NUMBERS) == 37


def test_our_numbers_stand_next_to_the_papers_with_their_intervals():
    row = row_of(table_4({"resnet50": summary(runs=3, **CLASSIFIED)}, {}), "ResNet-50")
    assert row["accuracy, paper"] == "0.6090 (0.531 to 0.682)"
    assert row["accuracy, ours"] == "0.647 (0.597 to 0.697)"
    assert (row["loss, paper"], row["loss, ours"]) == ("1.3218", "0.800 (0.750 to 0.850)")
    assert (row["n"], row["runs"], row["remark"]) == ("156", "3", "")


def test_what_was_not_run_says_so_and_why():
    table = table_4({"resnet50": summary(**CLASSIFIED)}, {"resnet34_pretrained": "the weights are not here"})
    row = row_of(table, "ResNet-34 pre-trained")
    assert row["accuracy, ours"] == "not run"
    assert row["remark"] == "not run: the weights are not here"
    assert row_of(table, "AlexNet")["remark"] == "not run: there is no complete run of it"


def test_a_dash_of_the_paper_is_not_given_and_a_doubtful_number_is_marked():
    segmentation, validation, test, _ = paper_tables({}, {}, {})
    assert row_of(segmentation, "U2NET")["IoU, paper"] == "not given"
    assert row_of(validation, "AlexNet")["loss, paper"] == "not given"
    for model in ("ResNet-34", "ResNet-34 pre-trained"):
        assert row_of(test, model)["accuracy, paper"] == "0.4936* (0.416 to 0.571)"
        assert row_of(validation, model)["loss, paper"] == "0.3010*"


def test_segmentation_is_shown_pooled_and_per_image():
    row = row_of(paper_tables({}, {"u2net_lite": summary(**SEGMENTED)}, {})[0], "U2NET-Lite")
    assert row["IoU, paper"] == "0.7063"
    assert row["IoU, ours (pooled)"].startswith("0.600 (")
    assert row["IoU, ours (mean of lesions)"].startswith("0.550 (")


def test_our_other_models_are_below_in_the_tables_of_their_task_as_not_in_the_paper():
    summaries = {"efficientnet_lite0": summary(**CLASSIFIED), "unet": summary(**SEGMENTED)}
    segmentation, validation, test, abstract = paper_tables(summaries, summaries, {})
    assert segmentation.frame["model"].tolist() == ["U2NET-Lite", "U2NET", "unet"]
    for table in (validation, test):
        assert table.frame["model"].tolist() == [*paper.CLASSIFIERS.values(), "efficientnet_lite0"]
        assert row_of(table, "efficientnet_lite0")["accuracy, paper"] == "not in the paper"
    assert len(abstract.frame) == 2


def test_an_undefined_metric_says_why():
    metrics = summary(accuracy=0.5, log_loss=math.nan, reason="no image is malignant")
    row = row_of(table_4({"alexnet": metrics}, {}), "AlexNet")
    assert row["loss, ours"] == "undefined"
    assert "loss: no image is malignant" in row["remark"]


# Its contradictions


def text_of(table):
    return " ".join(table.frame.to_numpy().ravel())


def test_contradictions_without_any_run_still_do_the_arithmetic():
    table = contradictions.contradictions(Measured({}, {}))
    assert len(table.frame) == len(contradictions.CHECKS)
    assert all(cell.startswith("not measured here: needs ") for cell in table.frame["our data"])
    text = text_of(table)
    for finding in ("572, 52 and 156", "79 and 158 fit", "none gives this row", "at most 9", "ln 3 = 1.0986",
                    "precision is 0.862, Dice 0.828", "4 of 4 test losses", "7 of the 7 numbers"):  # fmt: skip
        assert finding in text


def test_contradictions_cite_what_was_measured():
    classified = {name: summary(**CLASSIFIED) for name in paper.CLASSIFIERS}
    segmented = {"u2net_lite": summary(**SEGMENTED)}
    compared = pd.DataFrame([{"a": "resnet50__x-1", "b": "deepcardinal50", "part": "test", "metric": "accuracy",
                              "text": "They cannot be told apart."}])  # fmt: skip
    costs = pd.DataFrame([{"model": model, "size": 320, "debug_size": False, "parameters": 7, "macs": 2e9,
                           "latency_ms": 55.0} for model in (*paper.CLASSIFIERS, *paper.SEGMENTERS)])  # fmt: skip
    table = contradictions.contradictions(Measured(classified, classified | segmented, compared, costs))
    assert (table.frame["our data"].str.startswith("not measured")).sum() == 1  # a second source of images
    for part in ("They cannot be told apart.", "55.0 ms per image, above", "320 x 320", "validation 0, test 156 images",
                 "DeepCardinal-50 0.647 (0.597 to 0.697), n = 156"):  # fmt: skip
        assert part in text_of(table)
