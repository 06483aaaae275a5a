"""Find the keypoints of an image that its fingerprint keeps."""

import cv2
import numpy as np
from numpy.typing import NDArray

_MAX_KEYPOINTS = 200


def find_keypoints(grey: NDArray[np.uint8], longer_side: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Find the points and descriptors of a `Fingerprint`.

    Args:
        grey: (h, w) uint8.
        longer_side: Of the image in which they are searched, in pixels; a smaller image is searched as it is.

    Returns:
        (k, 2) float32 points in pixels of `grey`, and (k, 128) uint8 descriptors; k is 0 without structure.
    """
    small, scale = grey, longer_side / max(grey.shape)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in grey.shape)
        small = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    # A detector for every call: OpenCV does not promise that threads can share one.
    keypoints, raw = cv2.SIFT.create(nfeatures=_MAX_KEYPOINTS).detectAndCompute(small, None)
    if raw is None or len(keypoints) == 0:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
    raw = raw[:_MAX_KEYPOINTS]
    points = np.array([keypoint.pt for keypoint in keypoints[:_MAX_KEYPOINTS]], np.float64)
    factors = grey.shape[1] / small.shape[1], grey.shape[0] / small.shape[0]
    points = (points + 0.5) * factors - 0.5  # the middle of the first pixel is at 0
    root = np.sqrt(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1))
    return points.astype(np.float32), np.rint(255 * root).astype(np.uint8)
