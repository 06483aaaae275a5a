"""Is it breast ultrasound at all? False alarms on held-out images; misses on photos, charts, scans, spoilt frames."""

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.processes import PROJECT, SCRATCH, say
from benchmarks.report import table
from bus_lightning.core.errors import UserError
from bus_lightning.data.audit import audit_folder
from bus_lightning.data.index import find_root, read_image, read_index
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.data.sources.folder import read as read_folder
from bus_lightning.data.splitting import make_split
from bus_lightning.diagnosis.doubt import fit_reference, strangeness
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.reading import read_frames

Images = list[np.ndarray]
_TURNED = 52  # test images that are changed, in each split
_PHOTOS = {
    "sklearn": "datasets/images/*.jpg",
    "gradio": "media_assets/images/*.jp*g",
    "matplotlib": "mpl-data/sample_data/*.jpg",
    "skimage": "data/[abcghimr]*.*g",  # left out where it is not installed
}
_DRAWN = ("chessboard", "horse", "logo", "color", "motorcycle_right", "microaneurysms", "phantom", "multipage")
_CHARTS = {"networkx": "drawing/tests/baseline/*.png", "skimage": "data/[pt]*e*[et].png"}
_SCANS = ("CT_small", "MR_small", "693_J2KI", "J2K_pixelrep_mismatch", "examples_overlay")
# Other organs, and where in the screen the ultrasound is: top, bottom, left, right as shares.
_ULTRASOUND = {
    "examples_rgb_color": (0.24, 0.75, 0.02, 0.48),  # lymph node, with Doppler
    "examples_palette": (0.2, 0.5, 0.42, 0.74),  # obstetrics
    "examples_ybr_color": (0.1, 0.85, 0.4, 0.75),  # heart
}
_SPOILT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inverted": lambda image: 255 - image,
    "in false colours": lambda image: cv2.applyColorMap(image, cv2.COLORMAP_JET)[..., ::-1],
    "tinted orange": lambda image: (image * np.array([1, 0.6, 0.3])).astype(np.uint8),
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), image.shape[0] / 40),
    "on a white page": lambda image: cv2.copyMakeBorder(image, *[image.shape[0] // 3] * 4, cv2.BORDER_CONSTANT,
                                                        value=(255, 255, 255)),
    "turned by 90 degrees": lambda image: np.rot90(image).copy(),
    "upside down": lambda image: image[::-1].copy(),
}  # fmt: skip
_FINE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored": lambda image: image[:, ::-1].copy(),
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "as JPEG of quality 60": lambda image: cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR),
    "darker by 30%": lambda image: (image * 0.7).astype(np.uint8),
    "cut to 80%": lambda image: image[image.shape[0] // 10 : -(image.shape[0] // 10),
                                      image.shape[1] // 10 : -(image.shape[1] // 10)].copy(),
}  # fmt: skip


def measure(quick: bool) -> dict[str, Any]:
    """Fit on the training part of grouped splits, and look at everything else."""
    phantoms = SCRATCH / "doubt"
    draw_phantom(phantoms, images=60 if quick else 240, seed=0)
    others = find_other_images()
    real = find_root(None) if os.environ.get("BUSI_ROOT") else phantoms
    results = {"fitted on BUSI" if real != phantoms else "fitted on phantoms": _splits(real, quick, others)}
    if real != phantoms:
        results["fitted on BUSI"]["phantoms"] = flagged_by(_fit_whole(real), _all_images(phantoms))
        results["fitted on phantoms"] = _splits(phantoms, True, others)
        results["fitted on phantoms"]["BUSI"] = flagged_by(_fit_whole(phantoms), _all_images(real))
    return results


def find_other_images() -> dict[str, Images]:
    """Gather pictures that are no breast ultrasound, by kind."""
    others = {"photos": _photos(), "charts and pages": _charts(), "CT and MR": _scans(),
              "artificial frames: flat, noise, ramps, clouds": _made()}  # fmt: skip
    return others | {"photos, in grey": [_grey(image) for image in others["photos"]]} | _other_ultrasound()


def change_images(images: Images) -> dict[str, Images]:
    """Change some of the images, those that stay fine first: kind of change -> images."""
    some = images[:: max(1, len(images) // _TURNED)]
    return {f"held out, {name}": [change(image) for image in some] for name, change in (_FINE | _SPOILT).items()}


def _splits(root: Path, quick: bool, others: dict[str, Images]) -> dict[str, Any]:
    """Measure on several splits of a folder."""
    frame, groups = read_index(root), audit_folder(root, read_folder(root, {}), progress=False).groups
    images = {row.id: read_image(root / row.image) for row in frame.itertuples()}
    rates: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for seed in range(1 if quick else 10):
        split = make_split(frame, groups, seed=seed)
        part = {name: [images[id_] for id_ in split.part(name)] for name in ("train", "val", "test")}
        reference = fit_reference(part["train"], part["val"])
        kinds = {"held out": part["test"], **others, **change_images(part["test"])}
        for name, shown in kinds.items():
            rates.setdefault(name, []).append(flagged_by(reference, shown)["share"])
            counts[name] = len(shown)
        say(f"split {seed}: {rates['held out'][-1]:.1%} of {len(part['test'])} held-out images are flagged")
    return {"flagged": {name: {"shares": shares, "images": counts[name]} for name, shares in rates.items()}}


def _fit_whole(root: Path) -> dict[str, Any]:
    return fit_reference(_all_images(root), [])


def _all_images(root: Path) -> Images:
    return [read_image(root / image) for image in read_index(root)["image"]]


def flagged_by(reference: dict[str, Any], images: Images) -> dict[str, Any]:
    """Count the images that are taken for something else than the images behind a reference: their share, and all."""
    return {"share": float(np.mean([strangeness(image, reference) > 1 for image in images])), "images": len(images)}


def _photos() -> Images:
    """Read the photos that packages bring, each whole and in quarters."""
    files = [file for file in _files(_PHOTOS) if not file.stem.startswith(_DRAWN)]
    return [part for file in files for image in _read(file) for part in (image, *_quarters(image))]


def _quarters(image: np.ndarray) -> Iterator[np.ndarray]:
    middle, centre = image.shape[0] // 2, image.shape[1] // 2
    for rows in (slice(middle), slice(middle, None)):
        for columns in (slice(centre), slice(centre, None)):
            yield image[rows, columns].copy()


def _charts() -> Images:
    """Read screenshots, charts and scanned text, and draw a few charts."""
    from matplotlib.figure import Figure  # a child's peak of memory begins with that of this process

    images = [image for file in [*_files(_CHARTS), *sorted((PROJECT / "docs/images").glob("*.png"))]
              for image in _read(file)]  # fmt: skip
    rng = np.random.default_rng(0)
    for kind in ("plot", "bar", "imshow", "hist"):
        figure = Figure(figsize=(5, 4), dpi=100)
        axes = figure.subplots()
        inputs = {"plot": [rng.normal(size=50).cumsum()], "bar": [range(8), rng.random(8)],
                  "imshow": [rng.random((20, 20))], "hist": [rng.normal(size=500)]}[kind]  # fmt: skip
        getattr(axes, kind)(*inputs)
        figure.savefig(SCRATCH / "chart.png")
        images += _read(SCRATCH / "chart.png")
    return images


def _scans() -> Images:
    return [image for name in _SCANS for image in _read(_dicom(name))]


def _other_ultrasound() -> dict[str, Images]:
    """Read ultrasound of other organs: whole screens, and the ultrasound cut out of them."""
    screens, cut = [], []
    for name, (top, bottom, left, right) in _ULTRASOUND.items():
        image = _read(_dicom(name))[0]
        height, width = image.shape[:2]
        screens.append(image)
        cut.append(image[int(top * height) : int(bottom * height), int(left * width) : int(right * width)].copy())
    return {"other organs, whole screens": screens, "other organs, cut out": cut}


def _made() -> Images:
    """Make frames that show nothing: flat, noise, ramps and clouds."""
    rng, shape = np.random.default_rng(0), (400, 500)
    frames = [np.full(shape, level, float) for level in (0, 40, 128, 255)]
    frames += [rng.integers(0, 256, shape), *(rng.normal(90, width, shape) for width in (5, 20, 50))]
    frames += [rng.rayleigh(width, shape) for width in (20, 50)]
    down = np.linspace(0, 255, shape[0])[:, None].repeat(shape[1], axis=1)
    frames += [down, down[::-1], down.T[: shape[0]]]
    for width in (3, 10, 30):
        clouds = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), width)
        frames.append((clouds - clouds.min()) / np.ptp(clouds) * 255)
    return [_grey(np.repeat(np.clip(frame, 0, 255).astype(np.uint8)[..., None], 3, axis=2)) for frame in frames]


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _read(file: Path) -> Images:
    try:
        return [next(read_frames(file, Limits())).image]
    except UserError as error:
        say(f"{file.name} is left out: {error}")
        return []


def _files(patterns: dict[str, str]) -> list[Path]:
    """Find files within packages, those that are installed."""
    files = []
    for package, pattern in patterns.items():
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            files += sorted(Path(folder).glob(pattern))
    return files


def _dicom(name: str) -> Path:
    return _files({"pydicom": f"data/test_files/{name}.dcm"})[0]


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the table `doubt`."""
    kinds = list(dict.fromkeys(name for fitted in results.values() for name in fitted["flagged"]))
    rows = []
    for kind in kinds:
        cells = []
        for fitted in results.values():
            shares, number = fitted["flagged"][kind]["shares"], fitted["flagged"][kind]["images"]
            spread = f" ({min(shares):.1%} to {max(shares):.1%})" if len(shares) > 1 else ""
            cells.append(f"{np.mean(shares):.1%}{spread} of {number}")
        rows.append([kind, *cells])
    for other in ("phantoms", "BUSI"):
        cells = [f"{fitted[other]['share']:.1%} of {fitted[other]['images']}" if other in fitted else ""
                 for fitted in results.values()]  # fmt: skip
        if any(cells):
            rows.append([f"{other}, all of them", *cells])
    return {"doubt": table(["taken for something else", *results], rows)}
