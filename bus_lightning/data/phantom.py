"""Draw a synthetic data set in BUSI's layout, with its oddities, to try everything without patients' images.

The oddities of the real set (near-duplicates, several masks, mixed PNG modes, odd sizes) depend on an image's class and
number alone: `benign (12)` is the same picture however many images are drawn.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from bus_lightning.core.arguments import add_version, path_of
from bus_lightning.core.class_names import COUNTS_IN_BUSI
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.files import folder_aside, refuse_foreign
from bus_lightning.core.output import prepare_output
from bus_lightning.core.printable import printable
from bus_lightning.data.phantom_frame import Bools, Pixels, draw_case

KINDS = tuple(COUNTS_IN_BUSI)
MARKER = ".phantom.json"
_LABELS = ("L LOQ", "L UOQ", "R UIQ", "R C", "LT BREAST", "RT AXILLA", "R 10 H")
_WHITE, _YELLOW = (235, 235, 235), (255, 225, 0)


@dataclass(frozen=True)
class Case:
    """One image of the set.

    Attributes:
        kind: Its class.
        number: Its number within the class, from 1.
        frame: Class and number of the image whose frame it shows: its own, or that of its near-duplicate.
        exact: Whether it repeats that image pixel for pixel.
    """

    kind: str
    number: int
    frame: tuple[str, int]
    exact: bool = False

    @property
    def name(self) -> str:
        """The file's name without its extension, as in BUSI."""
        return f"{self.kind} ({self.number})"


def plan_case(kind: str, number: int) -> Case:
    """Plan what an image shows, from its class and number alone: about one in eight is a near-duplicate."""
    if kind == "malignant" and number % 50 == 9:  # one frame under two class labels, as in BUSI
        return Case(kind, number, plan_case("benign", number).frame)
    if number % 8 == 0:
        return Case(kind, number, plan_case(kind, number - 3).frame)
    if kind == "benign" and number % 60 == 14:
        return Case(kind, number, (kind, number - 1), exact=True)
    return Case(kind, number, (kind, number))


def plan_set(images: int) -> list[Case]:
    """List the cases of a set in which the classes have BUSI's shares, each at least once."""
    total = sum(COUNTS_IN_BUSI.values())
    malignant, normal = (max(1, round(images * COUNTS_IN_BUSI[kind] / total)) for kind in ("malignant", "normal"))
    counts = {"benign": images - malignant - normal, "malignant": malignant, "normal": normal}
    return [plan_case(kind, number) for kind in KINDS for number in range(1, counts[kind] + 1)]


def generator(seed: int, kind: str, number: int, purpose: int) -> np.random.Generator:
    """Make the random source of one image: `purpose` 0 draws its frame, 1 crops a near-duplicate, 2 marks it."""
    return np.random.default_rng(np.random.SeedSequence([seed, KINDS.index(kind), number, purpose]))


def draw_frame(case: Case, seed: int) -> tuple[Pixels, list[Bools]]:
    """Draw the frame of a case and its masks, cropped differently if it is a near-duplicate."""
    kind, number = case.frame
    rng = generator(seed, kind, number, 0)
    size = None
    if number % 20 == 10:  # another make of scanner: much larger pictures, some of them very wide
        height = int(rng.integers(240, 300))
        size = (height, int(height * (1.9 if number % 40 == 10 else 1.2)))
    several = {"benign": 3, "malignant": 7}.get(kind) == number % 40
    image, masks = draw_case(kind, rng, size, lesions=2 if several else 1)
    if case.frame == (case.kind, case.number) or case.exact:
        return image, masks
    top, bottom, left, right = generator(seed, case.kind, case.number, 1).integers(1, 7, 4)
    window = slice(top, -bottom), slice(left, -right)
    return image[window], [mask[window] for mask in masks]


def burn_in(image: Pixels, masks: Sequence[Bools], rng: np.random.Generator, yellow: bool) -> Pixels:
    """Burn in the marks that operators leave on about half of all images: a label, calipers on the lesion.

    Args:
        image: (H, W) grey picture.
        masks: The lesions to measure.
        rng: Source of all randomness.
        yellow: Draw the calipers in any case, and in yellow.

    Returns:
        (H, W, 3) RGB picture.
    """
    picture = np.repeat(image[..., None], 3, axis=2)
    height, width = image.shape
    unit = height / 130
    if rng.random() < 0.35:
        corner = (int(rng.uniform(0.03, 0.6) * width), int(rng.uniform(0.6, 0.95) * height))
        label = _LABELS[rng.integers(len(_LABELS))]
        cv2.putText(picture, label, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.28 * unit, _WHITE, 1, cv2.LINE_AA)
    if rng.random() < 0.3 or yellow:
        for mask in masks:
            rows, columns = np.nonzero(mask)
            across = [(end, rows.mean()) for end in (columns.min(), columns.max())]
            along = [(columns.mean(), end) for end in (rows.min(), rows.max())]
            for x, y in np.array(across + along) + rng.uniform(-1, 1, (4, 2)):
                color, size = _YELLOW if yellow else _WHITE, max(5, int(6 * unit))
                cv2.drawMarker(picture, (int(x), int(y)), color, cv2.MARKER_CROSS, size)
    return picture


def save_png(image: Image.Image, path: Path) -> None:
    """Save with light compression, which is fast; speckle hardly compresses."""
    image.save(path, compress_level=2)


def _save_case(case: Case, folder: Path, seed: int) -> None:
    """Draw one case and save it, with masks in the PNG modes that BUSI mixes."""
    image, masks = draw_frame(case, seed)
    kind, number = case.frame if case.exact else (case.kind, case.number)
    yellow = kind != "normal" and number % 30 == 6
    picture = burn_in(image, masks, generator(seed, kind, number, 2), yellow)
    save_png(Image.fromarray(picture), folder / f"{case.name}.png")
    mode = "1" if case.number % 5 else "L"
    if case.kind == "benign" and case.number % 50 == 4:
        mode = "RGBA"
    if case.kind == "normal":
        mode, masks = "RGB", [np.zeros(image.shape, dtype=bool)]
    for index, mask in enumerate(masks):
        name = f"{case.name}_mask{f'_{index}' if index else ''}.png"
        save_png(Image.fromarray(mask.astype(np.uint8) * 255).convert(mode), folder / name)


def refuse_other(out: Path) -> None:
    """Raise unless `out` is free, empty or a phantom folder.

    Raises:
        UserError: if something else is there, which is not ours to delete.
    """
    error = f"{out} exists and is not a phantom folder: name a new folder, or empty this one first."
    refuse_foreign(out, lambda folder: os.path.lexists(folder / MARKER), error)


def draw_phantom(out: Path, images: int = 240, seed: int = 0) -> None:
    """Draw a whole set into a folder, which appears complete or not at all.

    Args:
        out: New folder; an earlier phantom there is replaced.
        images: Number of images, at least 3; 60 or more hold every oddity at least once.
        seed: The same number and seed draw the same pixels.

    Raises:
        UserError: If the folder holds something else, or `images` or `seed` is too small.
    """
    if images < 3:
        raise UserError(f"--images {images} leaves a class empty: give at least 3.")
    if seed < 0:
        raise UserError(f"--seed {seed} is negative: give at least 0.")
    refuse_other(out)
    with folder_aside(out) as fresh:
        for kind in KINDS:
            (fresh / kind).mkdir()
        for case in tqdm(plan_set(images), desc="drawing", unit="image", disable=None, leave=False):
            _save_case(case, fresh / case.kind, seed)
        (fresh / MARKER).write_text(json.dumps({"images": images, "seed": seed}) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: `python -m bus_lightning.data.phantom OUT --images N --seed S`."""
    prepare_output()
    parser = argparse.ArgumentParser(
        prog="python -m bus_lightning.data.phantom", description=(__doc__ or "").partition("\n")[0]
    )
    add_version(parser)
    parser.add_argument("out", type=path_of, metavar="OUT", help="new folder; an earlier phantom there is replaced")
    parser.add_argument("--images", type=int, default=240, metavar="N", help="number of images (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="same seed, same pixels (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        draw_phantom(options.out, options.images, options.seed)
    except UserError as error:
        parser.exit(1, f"{error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "Stopped: nothing was drawn.\n")
    except OSError as error:
        if not (trouble := disk_trouble(error)):
            raise
        parser.exit(1, f"{trouble}\n")
    counts = ", ".join(f"{len(list((options.out / kind).glob('*).png')))} {kind}" for kind in KINDS)
    print(printable(f"Drew {options.images} images ({counts}; seed {options.seed}) in {options.out}"))


if __name__ == "__main__":
    main()
