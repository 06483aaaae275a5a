"""Make a large folder of small images in BUSI's layout, quickly: variations of a few drawn phantoms."""

import argparse
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bus_lightning.data.index import read_image, read_index, read_mask
from bus_lightning.data.phantom import draw_phantom

HEIGHT, WIDTH = 112, 128
DUPLICATE_EVERY = 10  # every tenth image is a near-duplicate of the one before
Frame = tuple[np.ndarray, np.ndarray]


def new_frame(frame: Frame, rng: np.random.Generator) -> Frame:
    """Crop, flip, darken and roughen a frame, so that it is no duplicate of any other.

    Args:
        frame: (H, W, 3) uint8 image and (H, W) uint8 mask.
        rng: Source of all randomness.
    """
    image, mask = frame
    height, width = mask.shape
    rows, columns = (int(side * rng.uniform(0.5, 0.75)) for side in (height, width))
    top, left = int(rng.integers(0, height - rows)), int(rng.integers(0, width - columns))
    window = slice(top, top + rows), slice(left, left + columns)
    image, mask = (cv2.resize(part[window], (WIDTH, HEIGHT), interpolation=how)
                   for part, how in ((image, cv2.INTER_AREA), (mask, cv2.INTER_NEAREST)))  # fmt: skip
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    coarse = rng.standard_normal((HEIGHT // 8, WIDTH // 8)).astype(np.float32)
    relief = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    speckle = 1 + 0.35 * relief + 0.2 * rng.standard_normal((HEIGHT, WIDTH), dtype=np.float32)
    changed = image * (rng.uniform(0.7, 1.3) * speckle)[..., None]
    return np.clip(changed, 0, 255).astype(np.uint8), np.ascontiguousarray(mask)


def near_duplicate(frame: Frame, rng: np.random.Generator) -> Frame:
    """Copy a frame as if it had been saved again: a little brighter, a little noise."""
    image, mask = frame
    noise = rng.normal(0, 2, image.shape[:2])[..., None]
    return np.clip(image * 1.03 + noise, 0, 255).astype(np.uint8), mask


def save(number: int, frames: list[tuple[str, Frame]], out: Path) -> None:
    """Make image `number` and its mask; a near-duplicate is made from the number before, which decides its pixels."""
    is_duplicate = number % DUPLICATE_EVERY == DUPLICATE_EVERY - 1
    source = number - 1 if is_duplicate else number
    rng = np.random.default_rng([0, source])
    kind, original = frames[int(rng.integers(len(frames)))]
    image, mask = new_frame(original, rng)
    if is_duplicate:
        image, mask = near_duplicate((image, mask), np.random.default_rng([1, number]))
    stem = out / kind / f"{kind} ({number + 1})"
    grey = number % 2 == 0
    cv2.imwrite(f"{stem}.png", cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if grey else cv2.COLOR_RGB2BGR))
    cv2.imwrite(f"{stem}_mask.png", mask * 255)


def main() -> None:
    """Run the command line; a folder that is there already is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("images", type=int)
    options = parser.parse_args()
    out: Path = options.out
    if not out.is_dir():
        aside, drawn = out.with_name(f".{out.name}"), out.with_name("phantoms")
        shutil.rmtree(aside, ignore_errors=True)
        if not drawn.is_dir():
            draw_phantom(drawn, images=240)
        frames = []
        for row in read_index(drawn).to_dict("records"):
            (aside / row["class"]).mkdir(parents=True, exist_ok=True)
            image = read_image(drawn / row["image"])
            frames.append((row["class"], (image, read_mask(drawn, row["masks"], image.shape[:2]))))
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(save, frames=frames, out=aside), range(options.images)))
        aside.rename(out)
    print(json.dumps({"images": len(read_index(out))}))


if __name__ == "__main__":
    main()
