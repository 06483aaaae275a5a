"""The command prints what the model answers, so that nobody has to open a file to see it."""

import json
import shutil

import pytest

from bus_lightning.diagnosis import predict
from bus_lightning.diagnosis.bundle import SHIPPED

SAMPLE = SHIPPED / "samples" / "phantom-malignant-1.png"


def answer(capsys, out, *arguments):
    """Answer with the model in the package: the printed lines, and the records."""
    assert predict.main([*map(str, arguments), "--out", str(out), "--no-heat-map"]) == 0
    return capsys.readouterr().out.splitlines(), [json.loads(file.read_text()) for file in sorted(out.glob("0*.json"))]


@pytest.fixture
def images(tmp_path):
    """Make a folder of twelve images, the last a patient's."""
    (tmp_path / "images").mkdir()
    for number in range(11):
        shutil.copy(SAMPLE, tmp_path / "images" / f"{number:02d}.png")
    shutil.copy(SHIPPED / "samples" / "phantom-normal-1.png", tmp_path / "images" / "jane_doe.png")
    return tmp_path / "images"


def test_the_answers_and_doubts_of_a_few_images_are_printed(tmp_path, capsys):
    lines, records = answer(capsys, tmp_path / "out", *sorted((SHIPPED / "samples").glob("*.png")))
    assert len(records) == 6
    for record in records:
        (place,) = (k for k, line in enumerate(lines) if line.startswith(f"{record['name']}: "))
        assert f"{record['class']} {record['probabilities'][record['class']]:.3f}, " in lines[place]
        number = record["lesion"]["lesions"]
        assert lines[place].endswith(f"; {number} lesion{'' if number == 1 else 's'} outlined")
        doubts = [f"  {doubt['text']}" for doubt in record["doubts"]]
        assert lines[place + 1 : place + 1 + len(doubts)] == doubts
    assert any(record["doubts"] for record in records)
    assert f"6 rows in {tmp_path / 'out' / 'results.csv'}" in lines


def test_the_answers_of_many_images_are_counted(images, tmp_path, capsys):
    lines, records = answer(capsys, tmp_path / "out", images)
    classes = [record["class"] for record in records]
    (counts,) = (line for line in lines if line.startswith("12 images: "))
    for name in set(classes):
        assert f"{classes.count(name)} {name}, " in counts
    assert counts.endswith(f"{sum(bool(record['doubts']) for record in records)} with doubts")
    assert not any(record["name"] in line for record in records for line in lines)


def test_a_file_name_is_printed_only_if_it_may_be_kept(images, tmp_path, capsys):
    lines, _ = answer(capsys, tmp_path / "out", images / "jane_doe.png")
    assert not any("jane" in line for line in lines)
    lines, _ = answer(capsys, tmp_path / "kept", images / "jane_doe.png", "--keep-names")
    assert any("jane_doe.png: " in line for line in lines)


def test_the_command_says_that_it_is_not_a_medical_device(tmp_path, capsys):
    lines, _ = answer(capsys, tmp_path / "out", SAMPLE)
    assert lines[-1].endswith("For research: this is not a medical device.")
    assert f"1 row in {tmp_path / 'out' / 'results.csv'}" in lines
