#!/usr/bin/env bash
# Resizing an image and its mask together moves the mask against the image.
#
# Library: albumentations 2.0.8 with opencv-python-headless 5.0.0.93; OpenCV and torch have the same nearest neighbour.
# Guess: `Resize` keeps an image and its mask aligned, because both go through one call and the mask's labels are only
#   picked, not mixed.
# Seen: a disk in the centre of 512 x 512 stays in the centre of the image, but its mask moves right and down: by 0.23
#   pixels at 256, by 0.34 at 128 and by 0.47 at 96. Nearest neighbour takes the source pixel at the corner of each target
#   pixel, bilinear the one at its centre. A disk that is ten pixels wide has a Dice of 0.90 with itself after the last shift.
#   `mask_interpolation=cv2.INTER_NEAREST_EXACT` keeps the mask of 96 pixels in its place; where the scale is a whole even
#   number, no source pixel lies at the centre, and its masks move the other way, by 0.23 and 0.12.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  albumentations==2.0.8 opencv-python-headless==5.0.0.93 numpy==2.4.6
NO_ALBUMENTATIONS_UPDATE=1 "$work/venv/bin/python" - <<'PYTHON'
import albumentations as A
import cv2
import numpy as np

rows, columns = np.mgrid[:512, :512] - 255.5
disk = (rows**2 + columns**2 < 100**2).astype(np.uint8)


def measure_shift(size, **options):
    """Return how far the mask and the image lie from the centre, in target pixels."""
    made = A.Resize(size, size, **options)(image=disk * 255, mask=disk)
    image, mask = np.nonzero(made["image"] > 127)[0], np.nonzero(made["mask"])[0]
    return mask.mean() - (size - 1) / 2, image.mean() - (size - 1) / 2


for size in (256, 128, 96):
    mask, image = measure_shift(size)
    exact, _ = measure_shift(size, mask_interpolation=cv2.INTER_NEAREST_EXACT)
    print(f"{size} pixels: image {image:+.2f}, mask {mask:+.2f}, mask with INTER_NEAREST_EXACT {exact:+.2f}")
    assert abs(image) < 0.01
    assert 0.2 < mask < 0.5
    assert (abs(exact) < 0.01) == (size == 96)

small = (np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 5).astype(np.float32)
moved = cv2.warpAffine(small, np.float32([[1, 0, 0.47], [0, 1, 0.47]]), (64, 64))
dice = 2 * np.minimum(small, moved).sum() / (small.sum() + moved.sum())
print(f"a disk of ten pixels, moved by 0.47 pixels in both directions: Dice {dice:.2f}")
assert 0.89 < dice < 0.92
PYTHON
echo "As described."
