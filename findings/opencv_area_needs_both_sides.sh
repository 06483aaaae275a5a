#!/usr/bin/env bash
# OpenCV's INTER_AREA averages only where both sides shrink.
#
# Library: opencv-python-headless 5.0.0.93, numpy 2.4.6.
# Guess: INTER_AREA averages along each side that shrinks, so a 100 x 1000 picture that becomes 101 x 100 loses noise
#   along its width as a 100 x 100 result does.
# Seen: one row more than before (100 -> 101) and the width is sampled at two columns out of ten: uniform noise
#   (standard deviation 74) keeps 54.7 instead of 23.4. Ultrasound frames that are wide and low hit this when they are
#   brought to a square: one side shrinks, the other grows, and speckle is aliased.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np

noise = np.random.default_rng(0).integers(0, 256, (100, 1000), dtype=np.uint8)
spread = {
    height: float(cv2.resize(noise, (100, height), interpolation=cv2.INTER_AREA).std()) for height in (99, 100, 101)
}
print({height: round(value, 1) for height, value in spread.items()})
averaged = noise.std() / 10**0.5  # of ten independent columns: 23.4
assert spread[100] < 1.1 * averaged, "the width shrinks and the height stays: averaged"
assert spread[99] < 1.1 * averaged, "both sides shrink: averaged"
assert spread[101] > 2 * averaged, "the height grows by one row: the width is no longer averaged"
PYTHON
echo "As described."
