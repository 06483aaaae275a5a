"""Can heat maps be trusted? Do they find the lesion more often than chance, and than maps of untrained weights?"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bus_lightning.core.csv_files import bad_cell, check_numbers, read_table, refuse_cut
from bus_lightning.core.errors import cured_by
from bus_lightning.core.files import is_there
from bus_lightning.core.reading import read_json
from bus_lightning.metrics.columns import ratio
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.made_with import refuse_other_weights

MEASURES = ("pointing", "energy", "chance")
DIFFERENCES = ("pointing_minus_chance", "pointing_minus_random")
TRAINED, RANDOM = "trained", "random"  # weights
Faithfulness = dict[str, float | None]


def measure_faithfulness(heat: NDArray[np.floating], mask: NDArray[np.uint8]) -> Faithfulness:
    """Compare one heat map with the mask of the lesion.

    Args:
        heat: (H, W), not negative.
        mask: (H, W) in {0, 1}.

    Returns:
        `pointing`: 1 if the strongest pixel lies in the lesion, else 0 (the pointing game); if several pixels are
        equally strong, the share of them in the lesion. `energy`: the share of the map's sum within the lesion.
        `chance`: the lesion's share of the image, which a map without information reaches in both. All are None
        without a lesion; the first two are None for a map that is 0 everywhere.

    References:
        Zhang et al., Top-down Neural Attention by Excitation Backprop, 2018 (pointing game).
        Wang et al., Score-CAM: Score-Weighted Visual Explanations, 2020 (energy-based pointing game).
    """
    lesion = mask.astype(bool)
    if not lesion.any():
        return dict.fromkeys(MEASURES)
    measured: Faithfulness = {"pointing": None, "energy": None, "chance": float(lesion.mean())}
    if heat.any():
        measured["pointing"] = float(lesion[heat == heat.max()].mean())
        measured["energy"] = float(heat[lesion].sum(dtype=np.float64) / heat.sum(dtype=np.float64))
    return measured


@cured_by("Run `evaluate.py explain=true` again")
def read_maps(path: Path, groups: Mapping[str, int]) -> pd.DataFrame:
    """Read `maps.csv`, a row per image, method and weights.

    Args:
        path: The CSV.
        groups: Id -> near-duplicate group, for every image of the run.

    Raises:
        DamagedError: If it is not such a table, contains images that are not of the run, or was made before the run was
            trained further.
    """
    options = path.with_name("options.json")
    if is_there(options):
        refuse_other_weights(RunDir(path.parents[1]), read_json(options), path)
    text = ("id", "label", "predicted", "method", "weights")
    maps = read_table(path, needed=[*text, *MEASURES], text=text)
    if (foreign := ~maps["id"].isin(list(groups)).to_numpy()).any():
        raise bad_cell(path, maps, int(foreign.argmax()), "id", "is not an image of split.json")
    check_numbers(path, maps, MEASURES, low=0, high=1, gaps=True)
    refuse_cut(path, maps)
    return maps


def summarise_maps(maps: pd.DataFrame, groups: Mapping[str, int], draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Average the measures of heat maps over images, with 95% intervals.

    The intervals are a bootstrap over groups, with the same draws for all rows. A map that is 0 everywhere is left out
    and counted.

    Args:
        maps: `maps.csv` of a run.
        groups: Near-duplicate group of each id.
        draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        A row per `method`, `weights` and `class` (each that has lesions, then "all"): `images` measured,
        `without_map`, and each of `MEASURES` and `DIFFERENCES` with `<measure>_low` and `<measure>_high`; NaN without
        an image. A difference is paired: of the same images; that from random weights is NaN for these themselves.
    """
    from bus_lightning.statistics.intervals import group_draws  # imports scipy.stats: seconds

    lesions = maps[maps["chance"].notna()]
    images = lesions.drop_duplicates("id")
    unique, multiplicities = group_draws([groups[id_] for id_ in images["id"]], images["label"].tolist(), draws, seed)
    random = {
        method: dict(zip(own["id"], own["pointing"], strict=True))
        for method, own in lesions[lesions["weights"] == RANDOM].groupby("method")
    }
    rows = []
    for (method, weights), of_method in lesions.groupby(["method", "weights"], sort=False):
        for name in [*images["label"].unique(), "all"]:
            of_class = of_method if name == "all" else of_method[of_method["label"] == name]
            measured = of_class[of_class["pointing"].notna()]
            times = multiplicities[:, np.searchsorted(unique, [groups[id_] for id_ in measured["id"]])]  # (draws, n)
            row = {"method": method, "weights": weights, "class": name}
            row |= {"images": len(measured), "without_map": len(of_class) - len(measured)}
            values = {key: measured[key].to_numpy(np.float64) for key in MEASURES}
            values["pointing_minus_chance"] = values["pointing"] - values["chance"]
            others = random.get(method, {}) if weights == TRAINED else {}
            values["pointing_minus_random"] = values["pointing"] - measured["id"].map(others).to_numpy(np.float64)
            for key, own in values.items():
                mean, low, high = _mean_with_interval(own, times)
                row |= {key: mean, f"{key}_low": low, f"{key}_high": high}
            rows.append(row)
    return pd.DataFrame(rows)


def _mean_with_interval(values: NDArray[np.float64], times: NDArray[np.floating]) -> tuple[float, float, float]:
    """Average values (n,) that are not NaN, with the interval over draws (D, n); NaN if there is none."""
    from bus_lightning.statistics.intervals import percentile_interval

    known = ~np.isnan(values)
    kept = times[:, known]
    mean = float(values[known].mean()) if known.any() else float("nan")
    return mean, *percentile_interval(ratio(kept @ values[known], kept.sum(axis=1)))
