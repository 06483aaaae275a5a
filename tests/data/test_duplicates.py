"""What the search for copies of the same frame promises."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bus_lightning.data.audit import Audit
from bus_lightning.data.duplicates import group_of, make_fingerprint, matching_pairs

Image = NDArray[np.uint8]


def phantom(speckle_seed: int, anatomy_seed: int = 0, strength: float = 0.7) -> Image:
    """Draw smooth tissue layers and a dark lesion, times speckle of a given seed."""
    height, width = 380, 460
    anatomy = np.random.default_rng(anatomy_seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    depth = y + 12 * np.sin(x / anatomy.uniform(50, 90) + anatomy.uniform(0, 6))
    tissue = 90 + 45 * np.sin(depth / anatomy.uniform(14, 22)) * np.exp(-y / 300)
    centre_x, centre_y = anatomy.uniform(0.35, 0.65, 2) * (width, height)
    lesion = ((x - centre_x) / 70) ** 2 + ((y - centre_y) / 45) ** 2 < 1
    tissue = cv2.GaussianBlur(np.where(lesion, 25, tissue).astype(np.float32), (0, 0), 2)
    noise = np.random.default_rng(speckle_seed).normal(size=(2, height, width)).astype(np.float32)
    field = [cv2.GaussianBlur(part, (0, 0), sigmaX=3.0, sigmaY=1.8) for part in noise]
    speckle = np.hypot(*field)
    grey = np.clip(tissue * (1 - strength + strength * speckle / speckle.mean()), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def saved_as_jpeg(image: Image, quality: int = 60) -> Image:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def cropped(image: Image) -> Image:
    height, width = image.shape[:2]
    return image[height // 20 : -height // 20, : -width // 10]


def shifted(image: Image) -> Image:
    return np.pad(image, ((17, 0), (23, 0), (0, 0)))[:-17, :-23]


def rescaled(image: Image) -> Image:
    return np.asarray(cv2.resize(image, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA))


def squeezed(image: Image) -> Image:
    return np.asarray(cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA))


def annotated(image: Image) -> Image:
    image = image.copy()
    for at in ((150, 120), (280, 200), (210, 110), (215, 230)):
        cv2.drawMarker(image, at, (255, 255, 0), cv2.MARKER_CROSS, 20, 2)
    cv2.line(image, (150, 120), (280, 200), (255, 255, 255), 1)
    cv2.putText(image, "RIGHT BREAST UOQ", (60, 340), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255,) * 3, 2)
    return image


def brighter(image: Image) -> Image:
    return (255 * (image / 255) ** 0.7).astype(np.uint8)


def everything(image: Image) -> Image:
    return saved_as_jpeg(rescaled(annotated(cropped(image))), 80)


@pytest.mark.parametrize(
    "change",
    [saved_as_jpeg, cropped, shifted, rescaled, squeezed, annotated, brighter, everything],
)
def test_a_changed_copy_matches_its_original(change: Callable[[Image], Image]) -> None:
    images = [phantom(seed, anatomy_seed=seed) for seed in range(4)]
    images.append(change(images[2]))
    assert matching_pairs([make_fingerprint(image) for image in images]) == [(2, 4)]


def partly_hidden(image: Image) -> Image:
    """Cover three tenths of an image with another one: most blocks still agree, their mean does not."""
    image = image.copy()
    columns = image.shape[1] * 3 // 10
    image[:, :columns] = cv2.resize(phantom(99, anatomy_seed=98), image.shape[1::-1])[:, :columns]
    return image


def a_quarter(image: Image) -> Image:
    """Cut out the middle, a third of the area or less: all of the smaller image is in the larger one."""
    height, width = image.shape[:2]
    return image[height // 4 : -height // 4, width // 4 : -width // 4]


@pytest.mark.parametrize("change", [partly_hidden, a_quarter])
@pytest.mark.parametrize("seed", range(3))
def test_most_of_the_blocks_of_the_smaller_image_decide(change: Callable[[Image], Image], seed: int) -> None:
    image = phantom(seed, anatomy_seed=seed)
    for pair in ((image, change(image)), (change(image), image)):
        assert matching_pairs([make_fingerprint(image) for image in pair]) == [(0, 1)]


def test_across_two_sets_only_pairs_of_both_are_found_and_every_equal_one() -> None:
    images = [phantom(seed, anatomy_seed=seed) for seed in range(3)]
    first = [images[0], cropped(images[0]), images[1], images[2]]
    second = [saved_as_jpeg(images[0]), images[1], images[1], phantom(7, anatomy_seed=7)]
    pairs = matching_pairs([make_fingerprint(image) for image in first + second], across=4)
    assert pairs == [(0, 4), (1, 4), (2, 5), (2, 6)]


@pytest.mark.parametrize("strength", [0.1, 0.3, 0.7])
def test_the_same_anatomy_with_other_speckle_does_not_match(strength: float) -> None:
    images = [annotated(phantom(seed, anatomy_seed=0, strength=strength)) for seed in range(6)]
    assert matching_pairs([make_fingerprint(image) for image in images]) == []


def test_a_mirrored_frame_does_not_match() -> None:
    image = phantom(0)
    # Round spots look the same in a mirror: the frames differ only in their handedness.
    for at in np.random.default_rng(0).integers(20, 360, (60, 2)).tolist():
        cv2.circle(image, at, 5, (255, 255, 255), -1, cv2.LINE_AA)
    assert matching_pairs([make_fingerprint(image), make_fingerprint(image[:, ::-1])]) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5), (600, 2), (40, 40)])
def test_images_without_structure_match_only_their_equals(shape: tuple[int, int]) -> None:
    def flat(level: int) -> Image:
        return np.full((*shape, 3), level, np.uint8)

    images = [flat(0), flat(0), flat(90), np.zeros((50, 60, 3), np.uint8), flat(0), phantom(0)]
    pairs = matching_pairs([make_fingerprint(image) for image in images])
    assert group_of(6, pairs).tolist() == [0, 0, 1, 2, 0, 3]


def test_equal_images_match_in_any_number() -> None:
    pairs = matching_pairs([make_fingerprint(phantom(0))] * 80 + [make_fingerprint(phantom(1, 1))])
    assert group_of(81, pairs).tolist() == [0] * 80 + [1]


def test_no_images_give_no_pairs() -> None:
    assert matching_pairs([]) == []
    assert group_of(0, []).shape == (0,)


def test_fingerprints_are_small_and_the_same_from_any_thread() -> None:
    images = [phantom(seed) for seed in range(4)] * 2
    alone = [make_fingerprint(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(make_fingerprint, images))
    for a, b in zip(alone, together, strict=True):
        assert a.digest == b.digest
        for name in ("grey", "points", "descriptors"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert a.grey.nbytes + a.points.nbytes + a.descriptors.nbytes < 100_000


def test_pairs_do_not_depend_on_the_run() -> None:
    images = [phantom(seed, anatomy_seed=seed % 2) for seed in range(5)]
    fingerprints = [make_fingerprint(image) for image in images + [everything(i) for i in images]]
    cv2.setRNGSeed(1)
    once = matching_pairs(fingerprints)
    cv2.setRNGSeed(2)
    assert matching_pairs(fingerprints) == once == [(i, i + 5) for i in range(5)]


def test_progress_sees_every_candidate() -> None:
    seen: list[tuple[int, int]] = []

    def progress(candidates: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
        seen.extend(candidates)
        return seen

    pairs = matching_pairs([make_fingerprint(i) for i in (phantom(0), cropped(phantom(0)))], progress)
    assert seen == pairs == [(0, 1)]


def test_groups_are_numbered_by_their_first_member() -> None:
    assert group_of(7, [(4, 6), (1, 5), (0, 6)]).tolist() == [0, 1, 2, 3, 0, 1, 0]


@pytest.fixture(scope="module")
def grouped(busi_audit: Audit) -> tuple[list[str], list[int]]:
    """Names ("benign 433") and groups of the images of BUSI."""
    names = [id_.partition("/")[2].replace("(", "").replace(")", "") for id_ in busi_audit.groups]
    return names, list(busi_audit.groups.values())


@pytest.mark.busi
def test_busi_has_about_the_published_number_of_groups(grouped: tuple[list[str], list[int]]) -> None:
    names, groups = grouped
    sizes = np.bincount(groups)
    classes = [{n.split()[0] for n, g in zip(names, groups, strict=True) if g == k} for k in range(len(sizes))]
    assert len(names) == 780
    assert abs((sizes > 1).sum() - 149) <= 2
    assert abs(sizes[sizes > 1].sum() - 330) <= 6
    assert sum(len(c) > 1 for c in classes) == 8
    assert sizes.max() == 4


@pytest.mark.busi
@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        pytest.param("benign 433", "malignant 145", True, id="equal pixels, two classes"),
        pytest.param("benign 399", "malignant 93", True, id="two classes"),
        pytest.param("malignant 11", "malignant 113", True, id="convex and cropped"),
        pytest.param("malignant 65", "malignant 66", True, id="sector and cropped"),
        pytest.param("benign 276", "benign 287", True, id="thick and thin calipers, the lowest"),
        pytest.param("malignant 95", "malignant 96", True, id="the least overlap"),
        pytest.param("normal 38", "normal 50", True, id="group of four"),
        pytest.param("benign 61", "benign 94", False, id="cine loop, moved"),
        pytest.param("benign 119", "benign 122", False, id="cine loop, moved a little"),
        pytest.param("malignant 4", "malignant 9", False, id="cine loop, other plane"),
        pytest.param("malignant 85", "malignant 86", False, id="same lesion, other frame"),
        pytest.param("benign 293", "malignant 12", False, id="same burned-in text"),
        pytest.param("benign 52", "benign 318", False, id="same burned-in text, 23 inliers"),
    ],
)
def test_pairs_of_busi_seen_by_eye(grouped: tuple[list[str], list[int]], first: str, second: str, same: bool) -> None:
    names, groups = grouped
    assert (groups[names.index(first)] == groups[names.index(second)]) == same


@pytest.mark.busi
@pytest.mark.parametrize("change", [partly_hidden, a_quarter])
def test_a_part_of_an_image_of_busi_is_recognised(busi: Path, change: Callable[[Image], Image]) -> None:
    files = [
        busi / f"{kind}/{kind} ({number}).png" for kind in ("benign", "malignant") for number in range(10, 130, 20)
    ]
    matched = 0
    for file in files:
        image = np.asarray(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB), np.uint8)
        matched += matching_pairs([make_fingerprint(image), make_fingerprint(change(image))]) == [(0, 1)]
    assert matched >= 9
