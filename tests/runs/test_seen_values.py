"""Which images a run has seen, from fingerprints and groups alone."""

import pandas as pd
import pytest
from omegaconf import OmegaConf
from test_duplicates import cropped, phantom

from bus_lightning.data.duplicates import make_fingerprint
from bus_lightning.data.fingerprints import save_fingerprints
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.splits import make_named_split
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.seen import seen_images


@pytest.fixture
def run(tmp_path):
    folder = RunDir(tmp_path / "run")
    folder.path.mkdir()
    folder.update_status(data="aaaa-1")
    return folder


def prepared(tmp_path, groups, content, fingerprints=None):
    return PreparedData(tmp_path, pd.DataFrame(), groups, content, fingerprints=fingerprints)


def test_a_near_duplicate_of_a_copy_counts_as_seen_and_a_tested_image_does_not(run, tmp_path):
    trained, tested = phantom(0), phantom(1, anatomy_seed=1)
    save_fingerprints(run.fingerprints, {"a/trained": make_fingerprint(trained), "a/tested": make_fingerprint(tested)})
    others = {"b/copy": cropped(trained), "b/tested": tested, "b/new": phantom(2, anatomy_seed=2)}
    save_fingerprints(tmp_path / "others.npz", {id_: make_fingerprint(image) for id_, image in others.items()})
    groups = {"b/copy": 0, "b/twin": 0, "b/tested": 1, "b/new": 2}
    split = make_named_split(
        {"train": ["a/trained"], "val": [], "test": ["a/tested"]}, "grouped", {"a/trained": 0, "a/tested": 1}
    )
    seen = seen_images(run, OmegaConf.create(), split, prepared(tmp_path, groups, "bbbb-1", tmp_path / "others.npz"))
    assert seen.images == {"b/copy": "a/trained", "b/twin": "a/trained"}
    assert seen.by_pixels


def test_on_the_runs_own_files_the_groups_of_training_and_validation_are_seen(run, tmp_path):
    groups = {"a": 0, "b": 0, "c": 1, "d": 2, "e": 3, "left out": 1}
    parts = {"train": ["b", "a", "e~horizontal"], "val": ["c"], "test": ["d"]}
    split = make_named_split(parts, "grouped", {id_: groups[id_] for id_ in "abcd"} | {"e~horizontal": 3, "e": 3})
    seen = seen_images(run, OmegaConf.create(), split, prepared(tmp_path, groups, "aaaa-2"))
    assert seen.images == {"a": "a", "b": "a", "c": "c", "left out": "c", "e": "e"}
    assert seen.by_pixels
