"""What was measured with the weights of a run is left out once the run was trained further, to other weights."""

import json

import pytest
from omegaconf import OmegaConf

from bus_lightning.core.errors import DamagedError
from bus_lightning.core.files import checksum, write_aside
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.report.heat_map_section import heat_map_section
from bus_lightning.runs.evaluations import find_evaluations
from bus_lightning.runs.robustness import read_robustness
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import read_group
from bus_lightning.training.evaluate import evaluate_parts, evaluate_run

# Without a validation, the last epoch is kept: further training always changes the weights.
SMALL = ("model=resnet34", "name=mine", "data.size=32", "keep_last=true", "scheduler=none",
         "trainer.limit_val_batches=0")  # fmt: skip
HEAT_MAPS = {
    "explain": True,
    "explain_options": {
        "methods": ["occlusion"], "images": 3, "integration_steps": 1, "occlusion_positions": 4, "random_seed": 0,
    },
}  # fmt: skip


def evaluate(run, root):
    """Evaluate a run on images that it has not seen and on its own corrupted test images, and draw heat maps."""
    request = {"part": "test", "split": None, "progress": False, "data": {"root": None, "skip_unreadable": False}}
    evaluate_run(run, OmegaConf.create(request | {"data": request["data"] | {"root": str(root)}}))
    options = {"corruptions": ["blur"], "strengths": [5], "images": 3}
    evaluate_run(run, OmegaConf.create(request | {"robustness": True, "robustness_options": options}))
    evaluate_run(run, OmegaConf.create(request | HEAT_MAPS))


@pytest.mark.slow
def test_results_of_the_weights_before_a_run_was_trained_further_are_left_out_and_named(trained, no_pictures, tmp_path):
    other = tmp_path / "other"
    draw_phantom(other, images=12, seed=7)
    run = trained(*SMALL, "trainer.max_epochs=1")
    evaluate(run, other)
    condition = read_group(run.path.parent).conditions[0]
    assert len(find_evaluations(run)) == 2
    assert len(read_robustness(run, "classification", condition.classes, condition.splits["mine"])) == 2
    assert heat_map_section([condition])

    write_aside(run.status_file, json.dumps(run.status | {"ended": "9999-12-31T00:00:00+00:00"}))
    assert len(find_evaluations(run)) == 2  # further training that kept the same weights
    assert len(read_robustness(run, "classification", condition.classes, condition.splits["mine"])) == 2

    trained(*SMALL, "trainer.max_epochs=3")
    (condition,) = read_group(run.path.parent).conditions
    assert find_evaluations(run) == []
    with pytest.raises(
        DamagedError, match=r"before the run was trained further\. Run `evaluate.py robustness=true` again"
    ):
        read_robustness(run, "classification", condition.classes, condition.splits["mine"])
    texts = [problem.text for problem in find_problems([condition]) if problem.kind == "files"]
    assert heat_map_section([condition]) is None
    assert sum("was made before the run was trained further" in text for text in texts) == 4
    assert sum("Run `evaluate.py explain=true` again" in text for text in texts) == 1

    evaluate(run, other)
    assert len(find_evaluations(run)) == 2
    assert len(read_robustness(run, "classification", condition.classes, condition.splits["mine"])) == 2
    assert heat_map_section([condition])
    for folder in find_evaluations(run):
        write_aside(folder.status_file, json.dumps(folder.status | {"ended": None}))
    assert len(find_evaluations(run)) == 2  # some earlier versions recorded no time


def test_weights_that_a_training_replaces_during_an_evaluation_do_not_pass_for_the_measured_ones(
    trained, no_pictures, monkeypatch
):
    run = trained(*SMALL, "trainer.max_epochs=1")
    measured = checksum(run.best)

    def measure_and_replace(*arguments):
        results = evaluate_parts(*arguments)
        run.best.write_bytes(run.best.read_bytes() + b"of a later epoch")
        return results

    monkeypatch.setattr("bus_lightning.training.evaluate.evaluate_parts", measure_and_replace)
    options = HEAT_MAPS | {"part": "test", "split": None, "progress": False}
    done = evaluate_run(run, OmegaConf.create(options | {"data": {"root": None, "skip_unreadable": False}}))
    assert done.status["weights"] == measured
    assert json.loads((run.path / "explain" / "options.json").read_text())["weights"] == measured
