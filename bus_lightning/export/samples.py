"""Draw the synthetic images of a bundle, which visitors of the page can try."""

from pathlib import Path

from PIL import Image

from bus_lightning.data.phantom import KINDS, burn_in, draw_frame, generator, plan_case, save_png

_SEED = 1


def draw_samples(folder: Path, number: int) -> None:
    """Draw synthetic images, of each class in turn."""
    for position in range(number):
        folder.mkdir(exist_ok=True)
        kind, count = KINDS[position % len(KINDS)], position // len(KINDS) + 1
        image, masks = draw_frame(plan_case(kind, count), _SEED)
        picture = burn_in(image, masks, generator(_SEED, kind, count, 2), yellow=False)
        save_png(Image.fromarray(picture), folder / f"phantom-{kind}-{count}.png")
