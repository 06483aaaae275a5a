"""Images in a report: a sample of the data, predictions next to the ground truth, the worst errors, heat maps.

They are read from the data folder that a run's config names. Without that folder a report has no such figures.
"""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from omegaconf import DictConfig
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import open_regular
from bus_lightning.data.collection import join_indexes
from bus_lightning.data.index import pick_evenly, read_image
from bus_lightning.data.phantom import MARKER
from bus_lightning.data.resizing import resize
from bus_lightning.data.sources.registry import read_sets
from bus_lightning.metrics.columns import COUNTS, PROBABILITY, dice_of, has_lesion
from bus_lightning.report.figures.style import SKY, VERMILLION, WIDTH, YELLOW, new_figure, styled
from bus_lightning.report.figures.tiles import POINTS, Tile, grid, label, read_tiles, show
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.conditions import Condition

_LONGEST_SLUG = 120  # characters of a condition's name in the name of a file
_SHEET = 1400  # width of a heat map sheet in pixels: 200 per inch
_ALARM = "false positive"
_BUSI_ID = r"(benign|malignant|normal)/\1 \(\d+\)"
_DIFFERENCE = {"true positive": SKY, "false positive": VERMILLION, "false negative": YELLOW}
_DIMMED = 0.55  # brightness of the image below the difference
_BUSI = (
    "Images: BUSI, Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28 (2020) 104863, "
    "doi:10.1016/j.dib.2019.104863."
)


def find_data(config: DictConfig) -> tuple[Path, pd.DataFrame] | None:
    """Return the data folder of a run and its index; None if the folder is gone."""
    try:
        return join_indexes(read_sets(config.data))
    except UserError:
        return None


@styled
def data_sample(root: Path, frame: pd.DataFrame, per_class: int = 3) -> FigureItem | None:
    """Show images of every class with the outline of their lesions, each next to its mask.

    Args:
        root: The data folder.
        frame: Its index, with the columns `id`, `class`, `image` and `masks`.
        per_class: Number of images of each class, taken evenly from its ids.

    Returns:
        The figure; None when a chosen file cannot be read.
    """
    classes = sorted(frame["class"].unique())
    sorted_ids = [sorted(frame.loc[frame["class"] == name, "id"], key=_by_number) for name in classes]
    chosen = [[ids[position] for position in pick_evenly(len(ids), per_class)] for ids in sorted_ids]
    tiles = read_tiles(root, frame, [id_ for ids in chosen for id_ in ids])
    if not tiles:
        return None
    figure, axes = grid([[tiles[id_] for id_ in ids] for ids in chosen], [1] * 2 * per_class, titles=1)
    for row, ids in zip(axes, chosen, strict=True):
        for id_, image, mask in zip(ids, row[::2], row[1::2], strict=False):
            show(image, tiles[id_].image, tiles[id_].mask, title=label(id_, 22))
            show(mask, tiles[id_].mask)
    counts = ", ".join(f"{(frame['class'] == name).sum()} {name}" for name in classes)
    return FigureItem(
        slug="data_sample",
        caption=f"A sample of the data (n = {len(frame)}: {counts}): images with the outline of the lesion's mask, "
        f"each next to the mask itself, taken evenly from each class. {_source(root, frame)}",
        figure=figure,
        alt=f"Ultrasound images of the classes {', '.join(classes)}, each next to its lesion mask.",
        names_images=True,
    )


@styled
def segmentations(condition: Condition, part: str = "test") -> FigureItem | None:
    """Show the best, the median and the worst predictions of a segmentation network, and its largest false positive.

    Args:
        condition: Runs of a segmentation; its first run is shown.
        part: Part of the split.

    Returns:
        The figure; None if masks or images are missing or damaged, or no image has a lesion.
    """
    run, data, mistake = condition.runs[0], find_data(condition.config), condition.config.data.get("mistake")
    cases = condition.part(part)
    cases = cases[cases["run"] == run.path.name]
    if data is None or not {*COUNTS} <= set(cases.columns):
        return None
    lesions = int(has_lesion(cases).sum())
    chosen = _choose_cases(cases)
    if not lesions or not (tiles := read_tiles(*data, list(chosen["id"]), mistake)):
        return None
    figure, axes = grid([[tiles[id_]] for id_ in chosen["id"]], [0.72, 1, 1, 1, 1], header=0.4)
    for row, case in zip(axes, chosen.itertuples(), strict=True):
        tile = tiles[case.id]
        try:
            mask = read_image(run.path / "masks" / f"{case.id}.png")[..., 0]
        except UserError:
            return None
        if mask.size != case.tp + case.fp + case.fn + case.tn:
            return None
        prediction = resize((mask > 0).astype(np.float32), tile.mask.shape)
        pictures = [tile.image, tile.mask, prediction, _difference(tile, prediction)]
        for axis, picture in zip(row[1:], pictures, strict=True):
            show(axis, picture)
        score = f"{case.alarm:.1%} of image" if case.rank == _ALARM else f"Dice {case.dice:.2f}"
        for line, text in enumerate((case.rank, label(case.id, 20), score)):
            place = {"xy": (1, 0.5), "xycoords": "axes fraction", "xytext": (0, 13 - 13 * line), "ha": "right"}
            weight = "normal" if line else "bold"
            row[0].annotate(text, textcoords="offset points", va="center", fontsize=POINTS, weight=weight, **place)
    for axis, title in zip(axes[0, 1:], ("image", "ground truth", "prediction", "difference"), strict=True):
        axis.set_title(title, fontsize=POINTS + 1)
    handles = [Patch(color=color, label=name) for name, color in _DIFFERENCE.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=3, fontsize=POINTS)
    alarm = "no image without a lesion has a false positive"
    if _ALARM in set(chosen["rank"]):
        alarm = "the largest false positive in an image without a lesion, with its share of the image"
    dice = chosen.loc[chosen["rank"] != _ALARM, "dice"]
    return FigureItem(
        slug=_slug("segmentations", condition),
        caption=f"Segmentations by {condition.model}, run {run.path.name}, part '{part}' (n = {lesions} images with a "
        f"lesion, {len(cases) - lesions} without; one of each near-duplicate group): the best, the median and the "
        f"worst by Dice of the image, and {alarm}. {_source(*data)}",
        figure=figure,
        alt="Rows of image, ground-truth mask, predicted mask and their difference, with Dice from "
        f"{dice.max():.2f} down to {dice.min():.2f}.",
        names_images=True,
    )


@styled
def worst_errors(condition: Condition, part: str = "test", count: int = 12) -> FigureItem | None:
    """Show the wrong predictions with the highest probability, one of each near-duplicate group.

    Args:
        condition: Runs of a classification; the probabilities of several runs for an image are averaged.
        part: Part of the split.
        count: Number of images at most.

    Returns:
        The figure; None if there is no error or an image is missing.
    """
    cases, data = condition.part(part), find_data(condition.config)
    columns = [f"{PROBABILITY}{name}" for name in condition.classes]
    if data is None or cases.empty or not set(columns) <= set(cases.columns):
        return None
    images = cases.groupby("id").agg({"label": "first", "group": "first"} | dict.fromkeys(columns, "mean"))
    images["label"] = images["label"].astype(str)  # a class may be called 0
    images["prediction"] = images[columns].idxmax(axis=1).str.removeprefix(PROBABILITY)
    images["confidence"] = images[columns].max(axis=1)
    images["disputed"] = images.groupby("group")["label"].transform("nunique") > 1
    errors = images[images["prediction"] != images["label"]]
    errors = errors.sort_values(["confidence", "id"], ascending=[False, True])
    chosen = errors.drop_duplicates("group").head(count)
    tiles = read_tiles(*data, list(chosen.index), condition.config.data.get("mistake"))
    if not tiles:
        return None
    rows = [list(tiles.values())[start : start + 4] for start in range(0, len(tiles), 4)]
    figure, axes = grid(rows, [1] * 4, titles=2)
    for axis, (id_, tile), case in zip(axes.flat, tiles.items(), chosen.itertuples(), strict=False):
        title = f"{label(id_, 26)}{'*' if case.disputed else ''}\nprediction: {case.prediction} {case.confidence:.2f}"
        show(axis, tile.image, tile.mask, title=title)
    disputed = " * A near-duplicate of this image has another label." if chosen["disputed"].any() else ""
    several = f", mean of {cases['run'].nunique()} runs" if cases["run"].nunique() > 1 else ""
    return FigureItem(
        slug=_slug("worst_errors", condition),
        caption=f"The errors of {condition.model} with the highest probability, condition {condition.name}, part "
        f"'{part}' (n = {len(images)} images, {len(errors)} errors): the image with its class, and the predicted class "
        f"with its probability{several}. Images as they are in the data folder, without cleaning or overlay; the "
        f"outline of the lesion's mask is added. One image of each near-duplicate group.{disputed} {_source(*data)}",
        figure=figure,
        alt=f"{len(chosen)} ultrasound images with their class and a wrong prediction, the most confident first.",
        names_images=True,
    )


@styled
def heat_maps(condition: Condition) -> FigureItem | None:
    """Show the sheet of heat maps of the condition's first run; None if there is no sheet."""
    run = condition.runs[0]
    try:
        with open_regular(run.path / "explain" / "heatmaps.png") as stream, Image.open(stream) as image:
            sheet = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, UserError, Image.DecompressionBombError):
        return None
    sheet.thumbnail((_SHEET, sheet.height), Image.Resampling.LANCZOS)
    figure = new_figure(WIDTH, WIDTH * sheet.height / sheet.width)
    figure.set_layout_engine("none")  # nothing to arrange
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    show(axis, np.asarray(sheet))
    data = find_data(condition.config)
    source = _source(*data) if data else "The images are those of the run's data folder."
    return FigureItem(
        slug=_slug("heat_maps", condition),
        caption=f"Heat maps of {condition.model}, run {run.path.name}: the parts of the image that its prediction "
        f"comes from. {source}",
        figure=figure,
        alt=f"Ultrasound images with heat maps of {condition.model} laid over them.",
        names_images=True,
    )


def _choose_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """Choose the best, median and worst lesions and the largest false positive; adds `rank`, `dice` and `alarm`."""
    cases = cases.assign(
        actual=cases["tp"] + cases["fn"], dice=dice_of(cases), alarm=cases["fp"] / cases[list(COUNTS)].sum(axis=1)
    )
    lesion = cases[cases["actual"] > 0].drop_duplicates("group")
    # Missed lesions all have Dice 0: the larger one is worse.
    ranked = lesion.sort_values(["dice", "actual", "id"], ascending=[False, True, True])
    number, each = len(ranked), max(1, min(3, len(ranked) // 3))
    middle = (number - each) // 2
    places = {"worst": range(number - each, number), "median": range(middle, middle + each), "best": range(each)}
    ranks = {place: rank for rank, rows in places.items() for place in rows}  # of one or two lesions the best first
    shown = sorted(place for place in ranks if 0 <= place < number)
    lesions = ranked.iloc[shown].assign(rank=[ranks[place] for place in shown])
    normal = cases[(cases["actual"] == 0) & (cases["alarm"] > 0)]
    return pd.concat([lesions, normal.nlargest(1, "alarm").assign(rank=_ALARM)])


def _difference(tile: Tile, prediction: np.ndarray) -> np.ndarray:
    """Colour true positives, false positives and false negatives over the dimmed image, (h, w, 3) uint8."""
    truth, predicted = tile.mask >= 0.5, prediction >= 0.5
    picture = tile.image * _DIMMED
    kinds = (truth & predicted, ~truth & predicted, truth & ~predicted)
    for where, color in zip(kinds, _DIFFERENCE.values(), strict=True):
        picture[where] = 0.3 * tile.image[where] + 0.7 * 255 * np.array(to_rgb(color))
    return picture.round().astype(np.uint8)


def _source(root: Path, frame: pd.DataFrame) -> str:
    """Name the source of the images."""
    if len(sets := frame["dataset"].unique()) > 1:
        return f"Images of the data sets {', '.join(sets)}."
    if (root / MARKER).is_file():
        return "Synthetic phantom images, drawn by this program: not patient data."
    return _BUSI if frame["id"].str.fullmatch(_BUSI_ID).all() else f"Images of the folder {root.name}."


def _slug(figure: str, condition: Condition) -> str:
    """Name a figure's file after its condition; a name that cannot stand there as it is gets its hash, to be unique."""
    name = re.sub("[^a-z0-9_-]+", "-", condition.name.lower())[:_LONGEST_SLUG]
    if name != condition.name:
        name += f"-{hashlib.sha256(condition.name.encode()).hexdigest()[:8]}"
    return f"{figure}_{name}"


def _by_number(id_: str) -> tuple[object, ...]:
    """Sort `benign (2)` before `benign (10)`."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", id_))
