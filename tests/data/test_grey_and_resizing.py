"""Grey stays exactly grey, and each axis is resized by its own rule, in training as in diagnosis."""

import json
from dataclasses import asdict
from itertools import product

import cv2
import numpy as np
import pytest
import torch
from deep_files import grey, png_16
from forged_bundles import seal
from omegaconf import OmegaConf
from PIL import Image
from tiny_bundle import make_bundle, speckled, with_disc

from bus_lightning.config.settle import settle, with_images
from bus_lightning.config.stored import load_config, save_config
from bus_lightning.core.errors import UserError
from bus_lightning.data.augment import Augmentation
from bus_lightning.data.batch_augment import BatchAugmentation
from bus_lightning.data.index import read_index
from bus_lightning.data.mistakes import with_mistake
from bus_lightning.data.pixels import cached_pixels
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.preprocess import DENOISERS, RULES, Overlay, Preprocessing
from bus_lightning.data.resizing import resize
from bus_lightning.data.sources.registry import read_sets
from bus_lightning.diagnosis.bundle import MANIFEST, load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.page.view import make_view
from bus_lightning.diagnosis.predict import main as predict
from bus_lightning.diagnosis.reading import Limits
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import train

RAMP = np.repeat(np.arange(256, dtype=np.uint8)[None], 64, axis=0)
NOISE = np.random.default_rng(0).integers(0, 256, (70, 90)).astype(np.uint8)
STEPS = [options for options in product(DENOISERS, ("none", "clahe")) if options != ("none", "none")]
MARK = (255, 220, 0)  # yellow calipers


def is_grey(image):
    return bool((image == image[..., :1]).all())


@pytest.mark.parametrize("options", STEPS)
def test_every_level_of_grey_stays_grey(options):
    for levels in (RAMP, NOISE, RAMP[:, ::-1] // 3):
        assert is_grey(Preprocessing(64, "stretch", *options).clean(grey(levels)))


@pytest.mark.parametrize("options", STEPS)
def test_a_coloured_mark_keeps_its_colour_and_is_cleaned_like_the_grey_next_to_it(options):
    preprocessing = Preprocessing(64, "stretch", *options)
    plain = grey(cv2.GaussianBlur(NOISE, (0, 0), 3))
    marked = plain.copy()
    marked[:6, :6] = MARK
    cleaned = preprocessing.clean(marked)
    corner = cleaned[2, 2].astype(int)
    assert corner[0] - corner[2] > 150
    far = np.s_[40:, 60:]  # where neither filter nor tile reaches the mark
    assert np.abs(cleaned[far].astype(int) - preprocessing.clean(plain)[far]).max() <= 2


def test_nlmeans_denoises_the_grey_levels_themselves():
    expected = cv2.fastNlMeansDenoising(NOISE, h=8, templateWindowSize=7, searchWindowSize=15)
    np.testing.assert_array_equal(Preprocessing(64, denoise="nlmeans").clean(grey(NOISE)), grey(expected))


def test_clahe_equalises_the_grey_levels_themselves():
    expected = cv2.createCLAHE(2.0, (8, 8)).apply(NOISE)
    np.testing.assert_array_equal(Preprocessing(64, contrast="clahe").clean(grey(NOISE)), grey(expected))


@pytest.mark.parametrize("denoise", [name for name in DENOISERS if name != "none"])
def test_noise_is_removed_before_the_contrast_is_raised(denoise):
    image = grey(cv2.GaussianBlur(NOISE, (0, 0), 4) + NOISE // 16)
    first, then = Preprocessing(64, denoise=denoise), Preprocessing(64, contrast="clahe")
    cleaned = Preprocessing(64, denoise=denoise, contrast="clahe").clean(image)
    np.testing.assert_array_equal(cleaned, then.clean(first.clean(image)))
    assert (cleaned != first.clean(then.clean(image))).any()


@pytest.mark.parametrize("kind", ["hue", "saturation", "all"])
def test_augmentation_turns_no_grey_into_colour(kind):
    options = {"hue": {"hue": 0.5}, "saturation": {"saturation": 0.9},
               "all": {"hue": 0.5, "saturation": 0.9, "brightness": 0.5, "contrast": 0.5}}[kind]  # fmt: skip
    still = {"p": 1, "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    transforms = {"color_jitter": still | options, "gaussian_blur": {"p": 1, "sigma_limit": [1, 2]}}
    augmentation, batch = Augmentation(transforms), BatchAugmentation(transforms)
    image, mask = grey(RAMP), np.zeros(RAMP.shape, np.uint8)
    for seed in range(20):
        assert is_grey(augmentation(image, mask, seed)[0])
        changed, _ = batch(torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(mask)[None, None], [seed])
        assert is_grey(changed[0].permute(1, 2, 0).numpy())


def stripes(shape, axis):
    """Draw lines of one pixel, alternately black and white, along an axis."""
    positions = np.arange(shape[axis]) % 2 * 255
    return grey(np.broadcast_to(positions[:, None] if axis == 0 else positions, shape))


@pytest.mark.parametrize("shape", [(40, 200), (200, 40), (64, 200), (200, 64), (300, 400)])
def test_an_axis_that_shrinks_is_averaged_whatever_happens_to_the_other(shape):
    for axis in (0, 1):
        if shape[axis] > 64:
            fitted = Preprocessing(64).fit(stripes(shape, axis)).astype(int)
            assert fitted.min() > 80, axis  # sampling would leave lines of black and of white
            assert fitted.max() < 175, axis


def test_axes_are_resized_as_opencv_resizes_them_one_at_a_time():
    image = np.random.default_rng(1).integers(0, 256, (90, 70, 3)).astype(np.uint8)
    for shape, expected in {
        (45, 30): cv2.resize(image, (30, 45), interpolation=cv2.INTER_AREA),
        (120, 100): cv2.resize(image, (100, 120), interpolation=cv2.INTER_LINEAR),
        (45, 70): cv2.resize(image, (70, 45), interpolation=cv2.INTER_AREA),
        (90, 100): cv2.resize(image, (100, 90), interpolation=cv2.INTER_LINEAR),
        (90, 70): image,
        (45, 100): cv2.resize(cv2.resize(image, (70, 45), interpolation=cv2.INTER_AREA), (100, 45)),
        (120, 30): cv2.resize(cv2.resize(image, (30, 90), interpolation=cv2.INTER_AREA), (30, 120)),
    }.items():
        np.testing.assert_array_equal(resize(image, shape), expected)
        np.testing.assert_array_equal(resize(image.transpose(1, 0, 2), shape[::-1]).shape, (*shape[::-1], 3))


@pytest.mark.parametrize("size", [64, 80, 200])
@pytest.mark.parametrize("mode", ["stretch", "pad"])
def test_resizing_keeps_grey_grey(size, mode):
    assert is_grey(Preprocessing(size, mode).fit(grey(NOISE)))


# What version 0.1 made of a picture of 40 x 200 pixels, at 64: linear, because its height grows.
def test_the_first_rules_are_kept_for_what_was_trained_with_them():
    image = np.random.default_rng(2).integers(0, 256, (40, 200, 3)).astype(np.uint8)
    old, new = Preprocessing(64, rules=1), Preprocessing(64)
    np.testing.assert_array_equal(old.fit(image), cv2.resize(image, (64, 64), interpolation=cv2.INTER_LINEAR))
    assert (old.fit(image) != new.fit(image)).any()
    lightness, a, b = cv2.split(cv2.cvtColor(cv2.medianBlur(image, 5), cv2.COLOR_RGB2LAB))
    expected = cv2.merge((cv2.createCLAHE(2.0, (8, 8)).apply(lightness), a, b))
    cleaned = Preprocessing(64, denoise="median", contrast="clahe", rules=1).clean(image)
    np.testing.assert_array_equal(cleaned, cv2.cvtColor(expected, cv2.COLOR_LAB2RGB))
    expected = cv2.fastNlMeansDenoisingColored(image, h=8, hColor=8, templateWindowSize=7, searchWindowSize=15)
    np.testing.assert_array_equal(Preprocessing(64, denoise="nlmeans", rules=1).clean(image), expected)
    with pytest.raises(UserError, match=r"preprocess\.rules=3"):
        Preprocessing(64, rules=3)


def test_a_run_of_version_0_1_keeps_its_rules_and_a_new_one_has_the_new(composed, tmp_path):
    run = RunDir(tmp_path)
    cfg = composed("preprocess=clean")
    cfg = settle(cfg, train.rules_for(cfg, run))
    assert cfg.preprocess.rules == RULES
    cfg = with_images(cfg, ["benign", "malignant"], [])
    save_config(cfg, run.config)
    assert load_config(run.config).preprocess.rules == RULES
    OmegaConf.set_struct(cfg, False)
    del cfg.preprocess["rules"]
    save_config(cfg, run.config)
    assert load_config(run.config).preprocess.rules == 1
    for chosen, settled in ((None, 1), (1, 1), (2, 2)):
        cfg = composed()
        cfg.preprocess.rules = chosen
        assert settle(cfg, train.rules_for(cfg, run)).preprocess.rules == settled
        assert cfg.preprocess.rules == chosen


@pytest.mark.slow
def test_the_same_command_skips_a_complete_run_of_version_0_1_and_its_rules_can_be_refused(composed, trained, caplog):
    overrides = ["model=resnet34", "data.size=32", "trainer.max_epochs=1", "name=run"]
    run = trained(*overrides, "preprocess.rules=1")
    older = OmegaConf.load(run.config)
    del older.preprocess["rules"]
    save_config(older, run.config)
    caplog.set_level("INFO")
    train.run(composed(*overrides))
    assert "complete, skipped" in caplog.text
    with pytest.raises(UserError, match=r"preprocess\.rules \(folder: 1, requested: 2\)"):
        train.run(composed(*overrides, "preprocess.rules=2"))
    run.metrics_file.unlink()
    train.run(composed(*overrides))
    assert "was started with preprocess.rules=1 and keeps these rules" in caplog.text
    assert load_config(run.config).preprocess.rules == 1


def test_crops_and_rules_and_cleaning_never_share_cached_pixels(small_copy, tmp_path, monkeypatch):
    frame = with_mistake(read_index(small_copy), None)
    prepared = PreparedData(small_copy, frame, {}, "digits-choice", sets=tuple(read_sets({"root": small_copy})))
    monkeypatch.setattr(PreparedData, "has_changed", lambda *_: False)  # nobody has hashed the folder
    settings = [
        *((Preprocessing(32), Overlay("crop", margin=margin)) for margin in (0.0, 0.1, 0.25, 0.5)),
        *((Preprocessing(32, rules=rules), None) for rules in (1, 2)),
        *((Preprocessing(32, denoise=name), None) for name in ("median", "nlmeans")),
        (Preprocessing(32, contrast="clahe"), None),
    ]
    pixels = []
    for number, (preprocessing, overlay) in enumerate(settings):
        records = cached_pixels(prepared, preprocessing, overlay is None, tmp_path / "cache", 1.0, overlay)
        alone = cached_pixels(prepared, preprocessing, overlay is None, tmp_path / f"c{number}", 1.0, overlay)
        np.testing.assert_array_equal(records, alone)
        pixels.append(records["image"].tobytes())
    assert len(list((tmp_path / "cache").glob("pixels-*.npy"))) == len(settings)
    assert len(set(pixels[:4])) == 4


def rewritten(folder, change):
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))
    seal(folder)
    return load_bundle(folder)


def test_a_bundle_of_version_1_sees_images_by_the_first_rules(tmp_path):
    new = load_bundle(make_bundle(tmp_path / "new"))
    assert [stage.preprocessing.rules for stage in new.networks.values()] == [RULES, RULES]

    def age(content):
        networks = content.pop("networks")
        content.update(networks, version=1, head=networks["classifier"]["head"])
        for stage in networks.values():
            del stage["preprocessing"]["rules"]

    old = rewritten(make_bundle(tmp_path / "old"), age)
    assert [stage.preprocessing.rules for stage in old.networks.values()] == [1, 1]
    for stage in new.networks:
        aged, own = (asdict(bundle.networks[stage].preprocessing) for bundle in (old, new))
        assert aged | {"rules": RULES} == own
    image = with_disc(speckled(1, shape=(40, 400))[0], (20, 200), 15)
    (by_old_rules,), (by_new_rules,) = (Diagnoser(bundle).diagnose([Frame(image)]) for bundle in (old, new))
    assert by_old_rules.probabilities != by_new_rules.probabilities


def test_a_dark_file_is_read_on_the_scale_of_the_training_images(decoders, tmp_path):
    """A picture of 12 bits whose brightest level needs 10 is as dark as it was in training."""
    image = with_disc(speckled(1)[0], radius=30)[..., 0].astype(np.uint16)
    dark = image * 4  # at most 920, of 4095
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(png_16(dark))
    Image.fromarray(grey(dark >> 4)).save(tmp_path / "in/b.png")
    Image.fromarray(grey(dark >> 2)).save(tmp_path / "in/c.png")

    def answers(bundle, out):
        assert predict([str(bundle), str(tmp_path / "in"), "--out", str(out)]) == 0
        return [json.loads(file.read_text())["probabilities"] for file in sorted(out.glob("000*.json"))]

    deep = make_bundle(tmp_path / "deep")
    bundle = rewritten(deep, lambda content: content.update(scale={"bits": 12, "white": 1}))
    dark_one, twelve, ten = answers(deep, tmp_path / "out")
    assert dark_one == twelve != ten
    dark_one, twelve, ten = answers(make_bundle(tmp_path / "plain"), tmp_path / "plain out")
    assert dark_one == ten != twelve
    shown = make_view(Diagnoser(bundle), decoders, tmp_path / "in/a.png", Limits())
    np.testing.assert_array_equal(shown.image, grey(dark >> 4))
