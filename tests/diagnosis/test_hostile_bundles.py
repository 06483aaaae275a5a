"""A bundle with impossible values, or other files than regular ones, is refused in one line; any other one answers."""

import json
import os
import shutil
from pathlib import Path

import pytest
from changed_values import DELETED, changed
from forged_bundles import rewrite, seal
from full_bundle import make_full_bundle, refused
from tiny_bundle import SIZE, speckled, with_disc

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.bundle import CHECKSUMS, HEAD, MANIFEST, load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame

NESTED = "nested"  # stands for brackets nested two thousand deep
OTHERS = [None, True, 0, -1, -0.5, 0.5, 7, 10**400, float("nan"), float("inf"), 1e300, "", "x", "a\nb", "x" * 1000,
          [], [1], [[]], {}, {"x": 1}, NESTED]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_full_bundle(tmp_path_factory.mktemp("made") / "bundle")


@pytest.fixture
def bundle(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def frame():
    return Frame(with_disc(speckled(1)[0]))


def places(content, path=()):
    """List the places of a JSON's values; of a long list, the first and the last."""
    listed = [path] if path else []
    if isinstance(content, dict):
        return listed + [place for key, value in content.items() for place in places(value, (*path, key))]
    if isinstance(content, list):
        shown = sorted({0, len(content) - 1} & set(range(len(content))))
        return listed + [place for k in shown for place in places(content[k], (*path, k))]
    return listed


def write(folder, content):
    text = json.dumps(content).replace(f'"{NESTED}"', "[" * 2000 + "]" * 2000)
    (folder / MANIFEST).write_text(text)
    seal(folder)


def refusal_of(call):
    """Return a function's result and an empty text, or None and the one line with which it refuses."""
    try:
        return call(), ""
    except UserError as error:
        line = str(error)
    assert "\n" not in line
    assert len(line) < 600
    return None, line


@pytest.mark.slow
def test_any_other_value_anywhere_is_refused_in_a_line_or_answered(bundle, frame):
    original = json.loads((bundle / MANIFEST).read_text())
    expected = Diagnoser(load_bundle(bundle), threads=1).diagnose([frame])[0]
    accepted, refusals = {}, 0
    for path in places(original):
        for other in (*OTHERS, DELETED):
            content = changed(original, path, other)
            write(bundle, content)
            loaded, line = refusal_of(lambda: load_bundle(bundle))
            if line:
                assert MANIFEST in line or "version" in line
                refusals += 1
            else:
                shown = (loaded.temperature, loaded.thresholds, loaded.networks, loaded.classes, loaded.least_score)
                accepted.setdefault(repr((shown, loaded.reference, loaded.calibrated_on)), content)
    for content in accepted.values():  # what is accepted is answered, or refused in a line
        write(bundle, content)
        answers, line = refusal_of(lambda: Diagnoser(load_bundle(bundle), threads=1).diagnose([frame]))
        if not line:
            assert sum(answers[0].probabilities.values()) == pytest.approx(1)
            assert answers[0].mask.shape == expected.mask.shape
    assert refusals > 1000


@pytest.mark.parametrize(
    ("news", "words"),
    [
        ({"temperature": 0}, "temperature is 0, not a number from 0.01 to 100"),
        ({"temperature": -1.5}, "temperature is -1.5, not"),
        ({"temperature": float("nan")}, "temperature is nan, not"),
        ({"temperature": float("inf")}, "temperature is inf, not"),
        ({"temperature": "1"}, "temperature is '1', not"),
        ({"temperature": True}, "temperature is True, not"),
        ({"thresholds": {"malignant": {"threshold": 1.5}}}, "thresholds.malignant.threshold is 1.5, not a number"),
        ({"thresholds": {"malignant": {"threshold": -0.1}}}, "thresholds.malignant.threshold is -0.1, not"),
        ({"thresholds": {"malignant": {}}}, "thresholds.malignant has no 'threshold'"),
        ({"thresholds": [0.5]}, "thresholds is list, not a mapping"),
        ({"classes": ["a", "a", "b"]}, "classes has a name twice"),
        ({"classes": ["a", "b\u001b[31m", "c"]}, "classes.1 is"),
        ({"version": True}, "version is True, not a whole number"),
        ({"version": 1.5}, "version is 1.5, not a whole number"),
    ],
)
def test_an_impossible_value_is_named_with_its_place(news, words, bundle):
    rewrite(bundle, **news)
    line = refused(bundle)
    assert words in line
    assert line.endswith("export the runs again.")


@pytest.mark.parametrize("stage", ["segmenter", "classifier"])
@pytest.mark.parametrize(
    ("news", "words"),
    [
        ({"std": [0.5, 0, 0.5]}, "std.1 is 0, not a number"),
        ({"std": [0.5, -0.5, 0.5]}, "std.1 is -0.5, not a number"),
        ({"std": [0.5, float("nan"), 0.5]}, "std.1 is nan, not a number"),
        ({"std": [0.5, float("inf"), 0.5]}, "std.1 is inf, not a number"),
        ({"std": [0.5]}, "std is list, not a list of 3 values"),
        ({"mean": [0.5, float("nan"), 0.5]}, "mean.1 is nan, not a number"),
        ({"mean": [0.5, -0.5, 0.5]}, "mean.1 is -0.5, not a number"),
        ({"mean": "0.5"}, "mean is '0.5', not a list"),
        ({"channels": 2}, "channels is 2, not one of 1, 3, 4"),
        ({"channels": True}, "channels is True, not one of 1, 3, 4"),
        ({"channels": 1}, "does not take images of 1 channels"),
        ({"channels": 4}, "mask"),
        ({"preprocessing": {"size": 0}}, "preprocessing.size is 0, not a whole number from 1 to 2048"),
        ({"preprocessing": {"size": 10**6}}, "preprocessing.size is 1000000, not a whole number"),
        ({"preprocessing": {"size": 32}}, "does not take images of 3 channels and 32 x 32 pixels"),
        ({"preprocessing": {"size": SIZE, "denoise": "fog"}}, "preprocess.denoise=fog is unknown"),
        ({"preprocessing": {"size": SIZE, "code": 1}}, "preprocessing has the unknown key 'code'"),
        ({"files": {"fp32": "/etc/passwd"}}, "files.fp32 is not an ONNX file"),
        ({"files": {"fp32": "../segmenter.onnx"}}, "../segmenter.onnx has no checksum"),
        ({"files": {"fp64": "segmenter.onnx"}}, "files is 'fp64', not one of"),
        ({"files": {}}, "has no file of its default precision, fp32"),
    ],
)
def test_an_impossible_value_of_a_network_is_named(stage, news, words, bundle):
    content = json.loads((bundle / MANIFEST).read_text())
    networks = content["networks"]
    rewrite(bundle, networks=networks | {stage: networks[stage] | news})
    assert words in refused(bundle)


@pytest.mark.parametrize("name", [MANIFEST, CHECKSUMS, HEAD, "segmenter.onnx", "MODEL_CARD.md", ".hidden", "new"])
@pytest.mark.parametrize("kind", ["a pipe", "a link to a device without an end", "a folder"])
def test_only_regular_files_are_read(kind, name, bundle):
    file = bundle / name
    file.unlink(missing_ok=True)
    if kind == "a pipe":
        os.mkfifo(file)
    elif kind == "a folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
    if kind != "a pipe" and name in (".hidden", "new") and (kind == "a folder" or name == ".hidden"):
        load_bundle(bundle)  # nothing opens it
    else:
        refused(bundle)


def test_a_file_of_112_gb_is_refused_before_it_is_hashed(bundle):
    with (bundle / "segmenter.onnx").open("r+b") as stream:
        stream.truncate(112 * 10**9)  # takes no room on the disk
    assert "has 112 GB, which no file of a bundle has" in refused(bundle)
