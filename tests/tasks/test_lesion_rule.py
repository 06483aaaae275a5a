"""Segmenters and joint networks empty a mask whose lesion score is too low, after training only."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tasks import CLASSES, batches, loader, make, trainer

from bus_lightning.metrics.columns import BEFORE_RULE, COUNTS

KINDS = ["segmentation", "joint"]


def evaluated(kind, least=0.0, **options):
    """Evaluate a task and return it."""
    task = make(kind, **options)
    if hasattr(task.net, "outlines"):
        torch.nn.init.normal_(task.net.outlines.sides.weight, std=0.1)
    task.least_score = least
    trainer().test(task, loader(), verbose=False)
    return task


def expected_scores(task):
    """Return the highest probability of a pixel, times that of a lesion if the network predicts classes."""
    scores = []
    with torch.no_grad():
        for batch in batches():
            heads = task.heads(task(batch["image"]))
            score = heads["mask"].sigmoid().flatten(1).max(dim=1).values
            if "class" in heads:
                score = score * (1 - heads["class"].softmax(1)[:, CLASSES.index("normal")])
            scores.append(score)
    return torch.cat(scores).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_with_a_lower_score_is_emptied_and_its_counts_before_are_kept(kind):
    plain = evaluated(kind)
    assert "lesion_score" not in plain.cases
    scores = expected_scores(plain)
    least = float(np.median(scores))
    task = evaluated(kind, least, scores_lesions=True)
    cases, doubtful = task.cases, scores < least
    assert doubtful.sum() == 5
    assert cases["lesion_score"].to_numpy() == pytest.approx(scores, abs=1e-6)
    for name in COUNTS:
        assert cases[BEFORE_RULE[name]].equals(plain.cases[name].rename(BEFORE_RULE[name]))
        assert cases.loc[~doubtful, name].equals(plain.cases.loc[~doubtful, name])
    emptied = cases[doubtful]
    assert (plain.cases.loc[doubtful, "tp"] + plain.cases.loc[doubtful, "fp"] > 0).any()
    assert (emptied["tp"] == 0).all()
    assert (emptied["fp"] == 0).all()
    assert (emptied["fn"] == emptied["fn_before_rule"] + emptied["tp_before_rule"]).all()
    assert (emptied["tn"] == emptied["tn_before_rule"] + emptied["fp_before_rule"]).all()
    assert (emptied.loc[emptied["fn"] > 0, "hd95"] == 100).all()
    for id_ in emptied["id"]:
        assert not np.asarray(Image.open(io.BytesIO(task.predicted_masks[id_]))).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_shows_the_mask_that_the_rule_leaves(kind):
    task = evaluated(kind, scores_lesions=True)
    scores = expected_scores(task)
    task.least_score = float(np.median(scores[:4]))
    image = batches()[0]["image"]
    masks = task.predict_logits(image)["mask"]
    with torch.no_grad():
        plain = task.heads(task(image))["mask"]
    for mask, before, score in zip(masks, plain, scores[:4], strict=True):
        assert (mask.sigmoid() == 0).all() if score < task.least_score else torch.equal(mask, before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_epochs_of_a_training_know_no_rule(kind):
    cases = {}
    for scores_lesions in (False, True):
        task = make(kind, scores_lesions=scores_lesions)
        task.least_score = 1.0
        trainer().fit(task, loader(), loader())
        cases[scores_lesions] = task.cases
    assert cases[True].equals(cases[False])
    assert (cases[True]["tp"] + cases[True]["fp"] > 0).any()


def test_the_task_adopts_the_rule_that_its_validation_cases_give():
    task = make("segmentation", scores_lesions=True)
    trainer().validate(task, loader(), verbose=False)
    rule = task.adopt_rule(task.cases, 1.0)
    assert rule.least_score == task.least_score > 0
    assert (rule.lesions, rule.normals) == (7, 3)
