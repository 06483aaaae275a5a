"""An edited bundle with right checksums is refused where its answers would mislead, and no result damages a bundle."""

import json
import shutil

import pytest
from forged_bundles import rewrite, seal
from PIL import Image
from tiny_bundle import make_bundle, speckled

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis import predict
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.networks import Network


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "bundle")


def edit(bundle, change):
    """Change the manifest, and write right checksums."""
    file = bundle / "bundle.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    seal(bundle)


def test_a_file_that_two_networks_share_is_refused(bundle):
    edit(bundle, lambda content: content["networks"].update(again=content["networks"]["classifier"]))
    with pytest.raises(UserError, match="two networks have the same file"):
        load_bundle(bundle)


def test_a_threshold_of_no_class_is_refused(bundle):
    rewrite(bundle, thresholds={"malign": {"threshold": 0.3}})  # else nothing would say that malignant is not excluded
    with pytest.raises(UserError, match="thresholds has the unknown key 'malign'"):
        load_bundle(bundle)


def test_a_cached_network_is_not_used_for_images_of_another_size(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shutil.copy(bundle / "segmenter.onnx", bundle / "segmenter.int8.onnx")

    def make_8_bit(content):
        content["networks"]["segmenter"]["files"]["int8"] = "segmenter.int8.onnx"

    edit(bundle, make_8_bit)
    Network(load_bundle(bundle).networks["segmenter"], "int8", threads=1)
    assert list(tmp_path.rglob("*.compiled"))
    edit(bundle, lambda content: content["networks"]["segmenter"]["preprocessing"].update(size=32))
    with pytest.raises(UserError, match="does not take images of 3 channels and 32 x 32 pixels"):
        Network(load_bundle(bundle).networks["segmenter"], "int8", threads=1)


def test_results_are_not_written_into_the_bundle(bundle, tmp_path, capsys):
    Image.fromarray(speckled(1)[0]).save(tmp_path / "image.png")
    (tmp_path / "link").symlink_to(bundle)
    for out in (bundle / "results", tmp_path / "link" / "results", bundle):
        assert predict.main([str(bundle), str(tmp_path / "image.png"), "--out", str(out), "--threads", "1"]) == 2
        assert "lies in a bundle, which it would damage" in capsys.readouterr().err
    load_bundle(bundle)
