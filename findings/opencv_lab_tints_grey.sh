#!/usr/bin/env bash
# OpenCV 5 gives some grey pixels a tint on the way RGB -> LAB -> RGB.
#
# Library: opencv-python-headless 5.0.0.93, numpy 2.4.6, 8-bit images.
# Guess: grey stays grey. Its a and b are exactly 128, so that CLAHE on the L channel leaves a grey image grey.
# Seen: a and b are 128 for all 256 levels, and yet 15 of them come back with channels that differ by one level, for
#   example 6 -> (6, 7, 7). A test for "all channels equal" after CLAHE in LAB takes grey ultrasound for colour.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np

grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
lab = cv2.cvtColor(grey, cv2.COLOR_RGB2LAB)
back = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0]
tinted = [level for level in range(256) if np.ptp(back[level]) > 0]
print(len(tinted), "levels are tinted:", tinted, "such as", tinted[0], "->", back[tinted[0]].tolist())
assert (lab[..., 1:] == 128).all(), "LAB itself says that every level is grey"
assert len(tinted) == 15
PYTHON
echo "As described."
