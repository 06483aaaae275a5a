"""Draw or take what is looked at: a PNG of 500 x 500, a folder of them and a video of them."""

import argparse
import json
import os
from pathlib import Path

import cv2
import numpy as np

from bus_lightning.data.index import find_root, read_image, read_index, read_mask

SIDE = 500
_RATE = 25  # pictures a second of the video


def pictures(root: Path, number: int) -> list[np.ndarray]:
    """Take images of a data folder, as evenly as possible, as (500, 500, 3) uint8.

    Each is moved sideways, the next one further: where there are too few and they come again, none is there twice.
    """
    rows = list(read_index(root).itertuples())
    chosen = [rows[k * len(rows) // number] for k in range(number)]
    return [np.roll(_square(read_image(root / row.image)), k, axis=1) for k, row in enumerate(chosen)]


def lesion(root: Path) -> np.ndarray:
    """Take the first outlined lesion, (500, 500) uint8, 0 or 255."""
    for row in read_index(root).itertuples():
        if row.masks:
            mask = read_mask(root, row.masks, read_image(root / row.image).shape[:2])
            return np.asarray(cv2.resize(mask.astype(np.uint8) * 255, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST))
    raise ValueError("no lesion is outlined")


def _square(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phantom", type=Path, help="folder to take images of where BUSI_ROOT names none")
    parser.add_argument("out", type=Path)
    parser.add_argument("--number", type=int, default=100)
    options = parser.parse_args()
    root = find_root(None) if os.environ.get("BUSI_ROOT") else options.phantom
    folder = options.out / "folder"
    folder.mkdir(parents=True)
    video = cv2.VideoWriter(str(options.out / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), _RATE, (SIDE, SIDE))
    for number, picture in enumerate(pictures(root, options.number)):
        colors = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{number:04d}.png"), colors)
        if not number:
            cv2.imwrite(str(options.out / "one.png"), colors)
        video.write(colors)
    video.release()
    cv2.imwrite(str(options.out / "lesion.png"), lesion(root))
    print(json.dumps({"pictures": options.number}))


if __name__ == "__main__":
    main()
