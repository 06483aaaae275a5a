"""The phantom set is whole, repeatable, and has BUSI's layout and oddities."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data import phantom
from bus_lightning.data.phantom import KINDS, draw_phantom, main, plan_set
from bus_lightning.data.phantom_frame import draw_case

IMAGES = 60


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw one set for all tests that only look."""
    folder = tmp_path_factory.mktemp("phantom") / "drawn"
    draw_phantom(folder, images=IMAGES, seed=0)
    return folder


def image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*.png") if "_mask" not in path.name)


def mask_files(image: Path) -> list[Path]:
    return sorted(image.parent.glob(f"{image.stem}_mask*.png"))


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(opened(path).convert("RGB"))


def modes(folder: Path, pattern: str) -> set[str]:
    return {opened(path).mode for path in folder.glob(pattern)}


def saturation(path: Path) -> int:
    return int(np.ptp(pixels(path).astype(int), axis=2).max())


def test_folder_has_busi_names_and_class_shares(drawn: Path) -> None:
    counts = {kind: sum(path.parent.name == kind for path in image_files(drawn)) for kind in KINDS}
    assert counts == {"benign": 34, "malignant": 16, "normal": 10}
    for kind, count in counts.items():
        names = {path.name for path in image_files(drawn) if path.parent.name == kind}
        assert names == {f"{kind} ({number}).png" for number in range(1, count + 1)}
    for path in drawn.glob("*/*.png"):
        assert re.fullmatch(r"(benign|malignant|normal) \(\d+\)(_mask(_1)?)?\.png", path.name)


def test_every_image_has_masks_of_its_size_and_only_lesions_fill_them(drawn: Path) -> None:
    for image in image_files(drawn):
        masks = mask_files(image)
        assert masks, image
        for mask in masks:
            assert opened(mask).size == opened(image).size
            values = pixels(mask)
            assert set(np.unique(values)) <= {0, 255}
            assert values.any() == (image.parent.name != "normal"), mask


def test_masks_come_in_all_modes_of_the_real_set(drawn: Path) -> None:
    assert modes(drawn, "normal/*_mask.png") == {"RGB"}
    assert modes(drawn, "benign/*_mask*.png") == {"1", "L", "RGBA"}
    assert modes(drawn, "malignant/*_mask*.png") == {"1", "L"}


def test_some_images_have_several_masks_that_do_not_touch(drawn: Path) -> None:
    several = [image for image in image_files(drawn) if len(mask_files(image)) > 1]
    assert 1 <= len(several) <= 5
    for image in several:
        first, second = (pixels(mask) for mask in mask_files(image))
        assert not np.minimum(first, second).any()


def test_images_are_grey_rgb_but_for_a_few_yellow_marks(drawn: Path) -> None:
    assert {opened(path).mode for path in image_files(drawn)} == {"RGB"}
    coloured = [path for path in image_files(drawn) if saturation(path) > 0]
    assert 1 <= len(coloured) <= 6


def test_about_half_the_images_carry_marks() -> None:
    marked = 0
    for case in plan_set(IMAGES):
        image, masks = phantom.draw_frame(case, seed=0)
        rng = phantom.generator(0, case.kind, case.number, 2)
        marked += bool((phantom.burn_in(image, masks, rng, False)[..., 0] != image).any())
    assert 0.3 * IMAGES < marked < 0.7 * IMAGES


def test_most_images_are_small_and_a_few_are_large_or_wide(drawn: Path) -> None:
    sizes = [opened(path).size for path in image_files(drawn)]
    assert 1 <= sum(max(size) > 200 for size in sizes) <= 6
    assert any(width > 1.8 * height for width, height in sizes)
    assert all(min(size) >= 98 for size in sizes)


def test_exactly_one_pair_repeats_its_pixels(drawn: Path) -> None:
    contents: dict[bytes, list[str]] = {}
    for path in image_files(drawn):
        contents.setdefault(pixels(path).tobytes(), []).append(path.stem)
    assert [names for names in contents.values() if len(names) > 1] == [["benign (13)", "benign (14)"]]
    first, second = (drawn / "benign" / f"benign ({number})_mask.png" for number in (13, 14))
    assert np.array_equal(pixels(first), pixels(second))


def find_shift(frame: NDArray[np.uint8], duplicate: NDArray[np.uint8]) -> tuple[float, tuple[slice, slice]]:
    """Slide the near-duplicate over the frame; return the best share of equal pixels, and where."""
    height, width = duplicate.shape
    windows = [
        (slice(top, top + height), slice(left, left + width))
        for top in range(frame.shape[0] - height + 1)
        for left in range(frame.shape[1] - width + 1)
    ]
    return max((((frame[window] == duplicate).mean(), window) for window in windows), key=lambda pair: pair[0])


def test_near_duplicates_show_the_same_speckle_and_their_masks_move_along(drawn: Path) -> None:
    duplicates = [case for case in plan_set(IMAGES) if case.frame != (case.kind, case.number)]
    assert 0.08 * IMAGES < len(duplicates) < 0.2 * IMAGES
    for case in duplicates:
        kind, number = case.frame
        source = drawn / kind / f"{kind} ({number}).png"
        duplicate = drawn / case.kind / f"{case.name}.png"
        equal, window = find_shift(pixels(source)[..., 0], pixels(duplicate)[..., 0])
        assert equal > 0.9, case
        for old, new in zip(mask_files(source), mask_files(duplicate), strict=True):
            assert np.array_equal(pixels(old)[window], pixels(new)), case


def test_one_frame_has_two_classes() -> None:
    conflicts = [case for case in plan_set(IMAGES) if case.frame[0] != case.kind]
    assert [(case.kind, case.frame[0]) for case in conflicts] == [("malignant", "benign")]


def test_other_frames_have_independent_speckle() -> None:
    grain = []
    for seed in range(2):
        image = draw_case("normal", np.random.default_rng(seed), size=(128, 160))[0].astype(float)
        grain.append(np.diff(image, axis=1).ravel())
    assert abs(np.corrcoef(grain)[0, 1]) < 0.05


def test_same_seed_draws_the_same_images_also_in_a_smaller_set(drawn: Path, tmp_path: Path) -> None:
    draw_phantom(tmp_path / "fewer", images=20, seed=0)
    for path in (tmp_path / "fewer").glob("*/*.png"):
        assert np.array_equal(pixels(path), pixels(drawn / path.parent.name / path.name)), path


def test_other_seed_draws_other_images(drawn: Path, tmp_path: Path) -> None:
    draw_phantom(tmp_path / "other", images=6, seed=1)
    for path in image_files(tmp_path / "other"):
        same = pixels(drawn / path.parent.name / path.name)
        assert not np.array_equal(pixels(path), same)


def lesion_figures(kind: str, seed: int) -> tuple[float, float]:
    """Return width over height, and the brightness behind the lesion over that next to this place."""
    image, (mask,) = draw_case(kind, np.random.default_rng(seed))
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    behind = image[rows[-1] + 3 : rows[-1] + 3 + len(rows)].astype(float)
    within = np.isin(np.arange(mask.shape[1]), columns)
    return len(columns) / len(rows), behind[:, within].mean() / behind[:, ~within].mean()


def test_benign_is_wide_and_bright_behind_and_malignant_tall_and_dark_behind() -> None:
    benign = np.mean([lesion_figures("benign", seed) for seed in range(40)], axis=0)
    malignant = np.mean([lesion_figures("malignant", seed) for seed in range(40)], axis=0)
    assert benign[0] > 1.3
    assert benign[1] > 1.05
    assert malignant[0] < 1.0
    assert malignant[1] < 0.95


def test_lesions_are_darker_than_the_tissue_next_to_them() -> None:
    for kind in ("benign", "malignant"):
        contrast = []
        for seed in range(30):
            image, (mask,) = draw_case(kind, np.random.default_rng(seed))
            around = np.logical_and(mask.any(axis=1, keepdims=True), ~mask)
            contrast.append(image[mask].mean() / image[around].mean())
        assert np.mean(contrast) < 0.8
        assert np.std(contrast) > 0.05


def test_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = phantom.save_png

    def interrupted(image: Image.Image, path: Path) -> None:
        if path.name.startswith("malignant"):
            raise KeyboardInterrupt
        save(image, path)

    monkeypatch.setattr(phantom, "save_png", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_phantom(tmp_path / "set", images=6)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_drawing_leaves_the_earlier_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_phantom(tmp_path / "set", images=3)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(phantom, "save_png", lambda image, path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw_phantom(tmp_path / "set", images=6)
    assert sorted(tmp_path.rglob("*")) == before


def test_earlier_phantom_is_replaced(tmp_path: Path) -> None:
    draw_phantom(tmp_path / "set", images=8)
    draw_phantom(tmp_path / "set", images=4)
    assert len(image_files(tmp_path / "set")) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_folder_of_someone_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UserError, match="mine"):
        draw_phantom(tmp_path / "mine", images=3)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize("options", [{"images": 2}, {"seed": -1}])
def test_senseless_number_is_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"--{next(iter(options))}"):
        draw_phantom(tmp_path / "set", **options)


def test_command_line_draws_and_says_so_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bus_lightning.data.phantom", "set", "--images", "6"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(image_files(tmp_path / "set")) == 6
    assert re.fullmatch(r"Drew 6 images \(.*seed 0\) in .*set\n", done.stdout)


def test_command_line_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "set"), "--images", "1"])
    assert stop.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
