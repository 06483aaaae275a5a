"""Whether heat maps can be believed: do they find the lesion, more often than chance and than untrained weights do?"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bus_lightning.core.csv_files import bad_cell, check_numbers, read_table, refuse_cut

MEASURES = ("pointing", "energy", "chance")
Worth = dict[str, float | None]


def worth(heat: NDArray[np.floating], mask: NDArray[np.uint8]) -> Worth:
    """Compare one heat map with the lesion's mask.

    Args:
        heat: (H, W), not negative.
        mask: (H, W) in {0, 1}.

    Returns:
        `pointing`, whether the strongest pixel lies in the lesion (the pointing game): 1 or 0, and where several are
        equally strong the share of them that does; `energy`, the share of the map's sum within the lesion; `chance`,
        the lesion's share of the image, which a map that knows nothing reaches in both. All are None without a
        lesion, the first two for a map that is 0 everywhere.

    References:
        Zhang et al., Top-down Neural Attention by Excitation Backprop, 2018 (pointing game).
        Wang et al., Score-CAM: Score-Weighted Visual Explanations, 2020 (energy-based pointing game).
    """
    lesion = mask.astype(bool)
    if not lesion.any():
        return dict.fromkeys(MEASURES)
    found: Worth = {"pointing": None, "energy": None, "chance": float(lesion.mean())}
    if heat.any():
        found["pointing"] = float(lesion[heat == heat.max()].mean())
        found["energy"] = float(heat[lesion].sum(dtype=np.float64) / heat.sum(dtype=np.float64))
    return found


def read_maps(path: Path, groups: Mapping[str, int]) -> pd.DataFrame:
    """Read `maps.csv`, a row per image, method and weights.

    Args:
        path: The CSV.
        groups: Id -> near-duplicate group, for every image of the run.

    Raises:
        DamagedError: When it is not such a table, or holds images that are not the run's.
    """
    text = ("id", "label", "predicted", "method", "weights")
    maps = read_table(path, needed=[*text, *MEASURES], text=text)
    if (foreign := ~maps["id"].isin(list(groups)).to_numpy()).any():
        raise bad_cell(path, maps, int(foreign.argmax()), "id", "is not an image of split.json")
    check_numbers(path, maps, MEASURES, low=0, high=1, gaps=True)
    refuse_cut(path, maps)
    return maps


def believable(maps: pd.DataFrame, groups: Mapping[str, int], draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Sum up how often and how strongly the heat maps lie in the lesion, with 95% intervals.

    The intervals are a bootstrap over near-duplicate groups, with the same draws for all rows of the answer. A map
    that is 0 everywhere has nothing to point with; it is left out, and counted.

    Args:
        maps: `maps.csv` of one or more runs.
        groups: Near-duplicate group of each id.
        draws: How many draws.
        seed: Of the draws.

    Returns:
        A row per `method`, `weights` and `class` (each that has lesions, then "all"): `images` measured,
        `without_map`, and each of `MEASURES` with `<measure>_low` and `<measure>_high`; NaN where there is nothing
        to measure.
    """
    from bus_lightning.statistics.intervals import group_draws, percentile_interval

    lesions = maps[maps["chance"].notna()]
    images = lesions.drop_duplicates("id")
    drawn, multiplicities = group_draws([groups[id_] for id_ in images["id"]], images["label"].tolist(), draws, seed)
    column = {group: position for position, group in enumerate(drawn.tolist())}
    rows = []
    for (method, weights), of_method in lesions.groupby(["method", "weights"], sort=False):
        for name in [*images["label"].unique(), "all"]:
            every = of_method if name == "all" else of_method[of_method["label"] == name]
            measured = every[every["pointing"].notna()]
            times = multiplicities[:, [column[groups[id_]] for id_ in measured["id"]]]  # (draws, images)
            row = {"method": method, "weights": weights, "class": name}
            row |= {"images": len(measured), "without_map": len(every) - len(measured)}
            for key in MEASURES:
                values = measured[key].to_numpy(np.float64)
                with np.errstate(invalid="ignore"):  # a draw without any of these images is undefined
                    means = times @ values / times.sum(axis=1)
                low, high = percentile_interval(means)
                row |= {key: values.mean() if len(values) else np.nan, f"{key}_low": low, f"{key}_high": high}
            rows.append(row)
    return pd.DataFrame(rows)
