"""Find ultrasound images that show the same frame.

Public breast ultrasound sets hold many frames more than once: saved again, cropped, rescaled, with other calipers or
burned-in text. Two images show the same frame if their speckle lines up pixel by pixel after a shift and a scale;
another frame of the same lesion does not, even if it looks alike. The search has three steps:

1. every image becomes a `Fingerprint`: a small grey image and its SIFT keypoints;
2. images whose descriptors often fall into the same hash buckets become candidates, which avoids comparing all pairs;
3. a candidate pair is registered by its keypoints, and its high-pass filtered images must then agree block by block.

On BUSI (780 images) this finds 149 groups of 329 images, 8 of them across classes; the published numbers are 149, 330
and 8 (Curated BUSI, https://doi.org/10.5281/zenodo.19047974).
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bus_lightning.data.candidates import candidate_pairs
from bus_lightning.data.keypoints import find_keypoints

# 256 pixels still show the speckle and keep a fingerprint near 75 kB; 320 found the same pairs.
_LONGER_SIDE = 256
# Keypoints are searched at half of that, in a third of the time; if two images can be registered but do not agree, at
# all of it. Of 130 images of BUSI that were cropped by a fifth, scaled by 0.7, annotated and saved as JPEG of quality
# 60, 127 were found so, as many as with a search at 256 pixels; of 158 of BUS-BRA 119 instead of 120.
_SEARCHED_SIDE = 128

# Comparing candidates.
_MANY_VOTES = 150  # of 7,058 candidates of BUSI that are no copies, 19% have 50 and more; copies have 102 and more
_QUEUED = 4096  # pairs
_KEPT_SEARCHES = 1024  # images; 27 kB each

# Registration. Copies in BUSI have dozens of inliers. Burned-in text alone can give 20, so the agreement must decide.
_RATIO = 0.85
_MIN_INLIERS = 8
_TOLERANCE_PIXELS = 3.0
# Copies in BUSI differ in scale by at most 1.4. Another aspect ratio is accepted. A sliver is not, nor is a mirror
# image: BUSI has none, and repeating structures can look like one.
_MAX_STRETCH = 3.0

# Agreement. The images must share a third of the smaller one (BUSI: 0.7 and more). Of all 303810 pairs of BUSI, 215
# agree at 0.93 or more, all of them copies. Ten lie between 0.6 and 0.88, all neighbours in two cine loops: benign 61,
# 94, 108, 114, 116, 119, 122 (visible motion, up to 0.83) and malignant 4, 5, 7, 8, 9 (up to 0.83, and 0.87 for 8 and
# 9, which differ only in noise and count as copies). No other pair reaches 0.4. Of 60 images that were cropped by a
# fifth, scaled by 0.7, annotated and saved as JPEG of quality 60, 58 stayed above the threshold.
_BLOCK = 16
_MIN_OVERLAP = 0.33
_MIN_CONTRAST = 0.3
_MIN_AGREEMENT = 0.85


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """The parts of one image that the search compares.

    Attributes:
        digest: Hash of the image's shape and pixels.
        grey: (h, w) uint8, the image in grey, its longer side at most 256 pixels.
        points: (k, 2) float32, x and y of k <= 200 SIFT keypoints in pixels of `grey`.
        descriptors: (k, 128) uint8, square roots of the L1-normalised SIFT descriptors times 255.
    """

    digest: bytes
    grey: NDArray[np.uint8]
    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]


def make_fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """Reduce an image to its fingerprint; safe to call from several threads.

    Args:
        image: (H, W, 3) uint8, RGB.

    Returns:
        The fingerprint, about 75 kB. An image without structure has no keypoints.

    References:
        Lowe, Distinctive image features from scale-invariant keypoints, IJCV 2004.
        Arandjelovic and Zisserman, Three things everyone should know to improve object retrieval, CVPR 2012 (square
        roots of SIFT).
    """
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)  # not joined with the shape: that would copy it
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = _LONGER_SIDE / max(grey.shape)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    small: NDArray[np.uint8] = grey.astype(np.uint8)
    return Fingerprint(digest.digest(), small, *find_keypoints(small, _SEARCHED_SIDE))


def matching_pairs(
    fingerprints: Sequence[Fingerprint],
    progress: Callable[[Iterable[tuple[int, int]]], Iterable[tuple[int, int]]] = iter,
    across: int = 0,
) -> list[tuple[int, int]]:
    """Find the pairs of images that show the same frame.

    Of equal images, only the pairs with the first are certain to be listed; `group_of` joins the rest.

    Args:
        fingerprints: One per image.
        progress: Wraps the iteration over the candidate pairs, as `tqdm.tqdm` does.
        across: If not 0, the first `across` images are one set and the others a second set; only pairs with one image
            from each set are searched. Each image of the second set with an exact copy in the first is then in a pair.

    Returns:
        Sorted pairs (i, j) of positions in `fingerprints`, i < j.
    """
    first_with: dict[bytes, int] = {}
    equal = {(first_with.setdefault(f.digest, i), i) for i, f in enumerate(fingerprints)}
    pairs = {(i, j) for i, j in equal if i < j and (i < across <= j or not across)}
    # The matrices are too small for several threads of the linear algebra library.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        votes = candidate_pairs([each.descriptors for each in fingerprints], across)
        candidates = [pair for pair in sorted(votes) if pair not in pairs]
        search = lru_cache(_KEPT_SEARCHES)(search_finely)  # an image can be in many pairs

        def measure(pair: tuple[int, int]) -> float:
            return agreement(fingerprints[pair[0]], fingerprints[pair[1]], votes[pair] >= _MANY_VOTES, search)

        agreements = _in_parts(pool, measure, candidates)
        for pair, agreed in zip(progress(candidates), agreements, strict=True):
            if agreed >= _MIN_AGREEMENT:
                pairs.add(pair)
    return sorted(pairs)


def _in_parts(
    pool: ThreadPoolExecutor, measure: Callable[[tuple[int, int]], float], pairs: Sequence[tuple[int, int]]
) -> Iterator[float]:
    """Measure pairs in several threads, a part at a time: a queue of all pairs of a large set would fill the memory."""
    for start in range(0, len(pairs), _QUEUED):
        yield from pool.map(measure, pairs[start : start + _QUEUED])


def group_of(n: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Number the groups of n images, given pairs of positions: (n,) int64, from 0 in the order of first members."""
    edges = np.array(list(pairs), np.int64).reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    return pd.factorize(labels)[0].astype(np.int64)


def search_finely(image: Fingerprint) -> Fingerprint:
    """Search an image for keypoints at its full size, instead of half of it."""
    return Fingerprint(image.digest, image.grey, *find_keypoints(image.grey, _LONGER_SIDE))


def agreement(
    first: Fingerprint,
    second: Fingerprint,
    is_likely: bool = True,
    search: Callable[[Fingerprint], Fingerprint] = search_finely,
) -> float:
    """Measure how well the speckle of two images lines up after registration.

    Args:
        first: One image.
        second: The other.
        is_likely: Whether to search finely, too, if they cannot be registered; otherwise, only if they do not agree.
        search: How an image is searched finely, such as `search_finely` with a memory.

    Returns:
        Median over blocks of 16 x 16 pixels of the correlation of the high-pass filtered images, in [-1, 1]; the median
        ignores calipers and text, which lie in few blocks. 0 if the images cannot be registered or overlap too little.
    """
    agreed = _agreement_after(_register(first, second), first, second)
    if agreed >= _MIN_AGREEMENT or (agreed <= 0 and not is_likely):
        return agreed
    transform = _register(search(first), search(second))
    return max(agreed, _agreement_after(transform, first, second))


def _agreement_after(transform: NDArray[np.float64] | None, first: Fingerprint, second: Fingerprint) -> float:
    """Measure the agreement of two images, if the second is moved onto the first; 0 without a transform."""
    if transform is None:
        return 0.0
    height, width = first.grey.shape
    moved = cv2.warpAffine(second.grey, transform, (width, height), flags=cv2.INTER_LINEAR)
    everywhere = np.ones_like(second.grey)
    inside = cv2.warpAffine(everywhere, transform, (width, height), flags=cv2.INTER_NEAREST)
    area_of_second = abs(float(np.linalg.det(transform[:, :2]))) * second.grey.size
    if inside.sum() < _MIN_OVERLAP * min(first.grey.size, area_of_second):
        return 0.0
    a, b = _blocks(_speckle(first.grey)), _blocks(_speckle(moved.astype(np.uint8)))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    contrast_a, contrast_b = a.std(axis=1), b.std(axis=1)
    # Blocks without echo have no speckle to compare.
    echo = np.minimum(contrast_a, contrast_b) > _MIN_CONTRAST
    usable = echo & (_blocks(inside).min(axis=1) > 0)
    if not usable.any():
        return 0.0
    return float(np.median((a * b).mean(axis=1)[usable] / (contrast_a * contrast_b)[usable]))


def _register(first: Fingerprint, second: Fingerprint) -> NDArray[np.float64] | None:
    """Return the (2, 3) affine transform from the second image's pixels to the first's, if any."""
    if min(len(first.points), len(second.points)) < _MIN_INLIERS:
        return None
    # Integers below 2**24 are exact in float32: the order of summation does not matter.
    a, b = first.descriptors.astype(np.float32), second.descriptors.astype(np.float32)
    squared = a @ b.T
    squared *= -2
    squared += (a * a).sum(axis=1)[:, None]
    squared += (b * b).sum(axis=1)
    nearest = squared.argmin(axis=1)
    mutual = np.flatnonzero(squared.argmin(axis=0)[nearest] == np.arange(len(a)))
    of_mutual, row = squared[mutual], np.arange(len(mutual))
    best = of_mutual[row, nearest[mutual]]
    of_mutual[row, nearest[mutual]] = np.inf
    matched = mutual[best < _RATIO**2 * of_mutual.min(axis=1, initial=np.inf)]
    if len(matched) < _MIN_INLIERS:
        return None
    transform, inliers = cv2.estimateAffine2D(  # OpenCV seeds this RANSAC with a constant
        second.points[nearest[matched]], first.points[matched], method=cv2.RANSAC,
        ransacReprojThreshold=_TOLERANCE_PIXELS, maxIters=1000,
    )  # fmt: skip
    if transform is None or inliers.sum() < _MIN_INLIERS:
        return None
    stretch = np.linalg.svd(transform[:, :2], compute_uv=False)
    is_mirrored = np.linalg.det(transform[:, :2]) <= 0
    if is_mirrored or stretch.min() <= 1 / _MAX_STRETCH or stretch.max() >= _MAX_STRETCH:
        return None
    return np.asarray(transform, np.float64)


def _speckle(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the fine structure of an image, at about the same strength everywhere."""
    level = grey.astype(np.float32)
    fine = level - cv2.GaussianBlur(level, (0, 0), 2.5)
    strength = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 6))
    return np.asarray(fine / (strength + 1), np.float32)


def _blocks(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Cut an image into whole blocks: (h, w) to (blocks, pixels of a block)."""
    rows, columns = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
    cut = image[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    return cut.swapaxes(1, 2).reshape(rows * columns, _BLOCK * _BLOCK).astype(np.float32)
