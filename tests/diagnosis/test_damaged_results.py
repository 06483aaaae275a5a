"""A folder of results that was damaged, or comes from elsewhere, costs no more than the work to make it again."""

import json

import pytest
from PIL import Image
from tiny_bundle import make_bundle, speckled, with_disc

from bus_lightning.diagnosis import predict
from bus_lightning.diagnosis.results import Results, frame_name


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: {},
        lambda record: {"frames": "two"},
        lambda record: {"frames": None},
        lambda record: {"frames": -1},
        lambda record: {**record, "lesion": 3},
        lambda record: {**record, "lesion": {**record["lesion"], "box": [1, 2]}},
        lambda record: {**record, "probabilities": {"benign": "high"}},
        lambda record: {**record, "doubts": [1]},
    ],
)
def test_a_damaged_result_is_made_again(bundle, tmp_path, capsys, change):
    Image.fromarray(with_disc(speckled(1)[0])).save(tmp_path / "a.png")
    command = [str(bundle), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    assert predict.main(command) == 0
    (file,) = tmp_path.glob("out/0*.json")
    table, text = (tmp_path / "out/results.csv").read_text(), file.read_text()
    file.write_text(json.dumps(change(json.loads(text))))
    assert predict.main(command) == 0
    assert file.read_text() == text
    assert (tmp_path / "out/results.csv").read_text() == table
    assert capsys.readouterr().out.count("1 row in") == 2


@pytest.mark.parametrize("written", range(4))
def test_a_renaming_that_was_interrupted_goes_on(tmp_path, monkeypatch, written):
    results = Results(tmp_path / "out", {})
    old, new = (f"{position:04d}-aaaaaaaaaaaa" for position in (1, 2))
    for number in range(3):
        name = frame_name(old, number)
        results._write(name, {"name": name, "lesion": None, "probabilities": {}, "doubts": []})
        (results.folder / f"{name}_overlay.png").touch()
    results.finish_file(old, 3)
    write, left = Results._write, iter(range(written))

    def write_some(self, name, record):
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(self, name, record)

    monkeypatch.setattr(Results, "_write", write_some)
    with pytest.raises(KeyboardInterrupt):
        results.adopt([new])
    monkeypatch.undo()
    assert not results.is_complete(new)
    results.adopt([new])
    assert results.is_complete(new)
    assert results.count_others([new]) == 0
