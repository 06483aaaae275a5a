"""Write the model card of a bundle: training data, test results, calibration, limits."""

from collections.abc import Iterator

from bus_lightning.config.split_options import PARTS
from bus_lightning.core.class_names import HEALTHY
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.published import describe_divided
from bus_lightning.diagnosis.bundle import VALIDATION, Bundle
from bus_lightning.diagnosis.lacking import what_lacks
from bus_lightning.diagnosis.stage import CLASS, MASK
from bus_lightning.diagnosis.trained_on import Trained, sentence
from bus_lightning.export.calibration import Calibration
from bus_lightning.export.card_evidence import describe_evidence
from bus_lightning.export.card_limits import describe_licences, describe_use, find_cards
from bus_lightning.export.evidence import Evidence
from bus_lightning.export.markdown import escape, format_interval, format_number, make_table
from bus_lightning.export.numbers import Rows
from bus_lightning.export.team import Team
from bus_lightning.export.variants import COMPARED, HALVED
from bus_lightning.metrics.catalogue import heading_of, title_of
from bus_lightning.runs.code import codes_of
from bus_lightning.runs.finished import FinishedRun

NOT_CALIBRATED = "not calibrated"
_METHODS = {
    "grouped": "near-duplicates kept in one part, and the images of a patient",
    "stratified": "by class; near-duplicates or patients can be in two parts, so results may look too good",
    "random": "at random; near-duplicates or patients can be in two parts, so results may look too good",
    "file": "lists of the user",
    "published": "by the authors of the data set",
}
# Columns of the table of precisions: heading, key of `compare_variants`, format.
_COLUMNS = (
    ("IoU", "iou", ".4f"), ("difference", "iou_difference", "+.4f"), ("AUC", "auc", ".4f"),
    ("difference", "auc_difference", "+.4f"), ("answers changed", "answers_changed", "d"),
)  # fmt: skip
_MEANINGS = {"iou": title_of("iou_image"), "auc": title_of("auroc_macro"),
             "answers_changed": "the number of most likely classes that differ",
             "sensitivity_malignant": "sensitivity and specificity of the threshold"}  # fmt: skip
_ANSWERS = {MASK: "outline of the lesion", CLASS: "class"}


def write_card(
    team: Team,
    images: PreparedData,
    numbers: dict[str, Rows],
    calibration: Calibration | None,
    bundle: Bundle,
    is_held_out: bool,
    evidence: Evidence | None = None,
    note: str = "",
) -> str:
    """Write the card of a bundle in Markdown.

    Args:
        team: Its runs.
        images: The images of those that classify, or of all if none does.
        numbers: Its test results, from `find_numbers`.
        calibration: How it was calibrated.
        bundle: The bundle, without the card.
        is_held_out: Whether the precisions were compared on images that no network has seen.
        evidence: What `find_evidence` computed from the cases in the bundle; None if it has none.
        note: A sentence of the exporting user, such as how the run was chosen.
    """
    lacking = what_lacks(bundle)
    sections = [
        f"# Model card: breast ultrasound, {bundle.answers.replace(' only', '')}",
        "**NOT A MEDICAL DEVICE.** For research and teaching. Do not use any answer for the care of a patient.",
        *([f"**{lacking}**"] if lacking else []),
        *([escape(note)] if note else []),
        _networks(team, bundle),
        _data(team, images, bundle.trained_on),
        _results(numbers, team.has_held_out_images),
        *([_calibration(team, calibration)] if bundle.classifies else []),
        *(describe_evidence(evidence) if evidence else []),
        _precisions(bundle, is_held_out, min(len(run.split.test) for run in team.runs.values())),
        describe_use(bundle, is_tested_elsewhere=evidence is not None and len(evidence["results"]) > 1),
        describe_licences(bundle.trained_on),
    ]
    return "\n\n".join(sections) + "\n"


def _networks(team: Team, bundle: Bundle) -> str:
    rows = []
    for name, run in team.runs.items():
        outputs = ", ".join(_ANSWERS[output] for output in bundle.networks[name].outputs)
        rows.append([_titled(name), run.config.model.name, _pixels(run), outputs])
    table = make_table(["", "model", "input", "output"], rows)
    return "\n\n".join(["## Networks", table, " ".join(_composition(team, bundle))])


def _composition(team: Team, bundle: Bundle) -> Iterator[str]:
    """Yield sentences that say how the answer follows from the outputs of the networks."""
    if bundle.classifies:
        yield f"Classes: {', '.join(bundle.classes)}."
    for role, names in team.roles.items():
        if len(names) > 1:
            yield f"The answer is the mean of the probabilities of the {len(names)} networks ({role})."
            if role != "classifier":
                yield "Masks in the test results that several networks predicted were averaged by this bundle in fp32."
    for name, run in team.runs.items():
        if run.task == "classification":
            overlay = run.overlay
            yield f"The {name} sees " + (
                f"the segmenter's mask (overlay={overlay.style})." if overlay else "only the image, without the mask."
            )
    if flipped := [name for name, stage in bundle.networks.items() if stage.flips]:
        yield f"Probabilities are averaged over the image and its mirror image ({', '.join(flipped)})."
    if bundle.least_score:
        yield (
            f"An outline with a lesion score below {bundle.least_score:.3f} is dropped: then no lesion is outlined. "
            f"The lesion score is {_lesion_score(bundle)}. The rule was chosen on validation images."
        )
    if bundle.classifies:
        heads = [name for name, stage in bundle.networks.items() if stage.head is not None]
        of = "" if all(stage.head is not None for stage in bundle.networks.values() if stage.classifies) else (
            f" of {', '.join(heads)}"
        )  # fmt: skip
        yield (
            f"The heat map is the class activation map{of}: the last feature map, weighted by the last layer."
            if heads
            else "**No heat map**: this bundle has no classifier that ends in an average and one linear layer."
        )


def _lesion_score(bundle: Bundle) -> str:
    """Define the score of `models.maps.lesion_scores`."""
    is_joint = any(stage.outlines and stage.classifies for stage in bundle.networks.values())
    score = "the highest probability of a pixel"
    if is_joint and HEALTHY in bundle.classes:
        score += f", times the sum of the probabilities of all classes but {HEALTHY}"
    return score


def _titled(name: str) -> str:
    return name[:1].upper() + name[1:]


def _pixels(run: FinishedRun) -> str:
    data, clean = run.config.data, run.config.preprocess
    steps = [f"{step}={clean[step]}" for step in ("denoise", "contrast") if clean[step] != "none"]
    return ", ".join([f"{data.size}x{data.size}, {data.resize}, {data.channels} channels", *steps])


def _data(team: Team, images: PreparedData, trained: Trained) -> str:
    rows = []
    for name, run in team.runs.items():
        split, status = run.split, run.folder.status
        sizes = "/".join(str(len(split.part(part))) for part in PARTS)
        divides = f"; divides {text}, so results may look too good" if (text := describe_divided(split.divided)) else ""
        commits = ", ".join(dict.fromkeys(str(code.get("commit"))[:12] for code in codes_of(status)))
        rows.append([_titled(name), f"{split.method}: {_METHODS[split.method]}{divides}", sizes, split.seed,
                     run.config.seed, split.hash, status.get("epochs"), commits])  # fmt: skip
    counts = ", ".join(f"{number} {name}" for name, number in images.frame["class"].value_counts(sort=False).items())
    origin = f"**{escape(sentence(trained))}**"
    for card in find_cards(trained):
        origin += f" {card.title}: {escape(card.citation)}. Origin: {escape(card.origin or 'not known')}."
    origin += f" Images of all parts: {counts}. Hash of the files: `{team.leaders[0].files_hash}`."
    names = ["", "split", "train/val/test images", "split seed", "seed", "split hash", "epochs", "commit"]
    runs = ((name, run.folder.path.resolve().name.replace("`", "'")) for name, run in team.runs.items())
    origins = [f"{_titled(name)}: `{run}`" for name, run in runs]
    named = f"The name of a run holds its config. {'; '.join(origins)}."
    starts = "; ".join(f"{_titled(name)}: {_start(run)}" for name, run in team.runs.items())
    return "\n\n".join(["## Data", origin, make_table(names, rows), named, f"Weights before training: {starts}."])


def _start(run: FinishedRun) -> str:
    """Name the weights that a training began with; the path of a file is not shown."""
    weights, source = run.config.model.get("weights"), run.config.model.get("imagenet") or {}
    if weights != "imagenet":
        return "from a file of the user" if weights else "random"
    name = source.get("name") or str(source.get("_target_", "")).rpartition(".")[2]
    return f"trained on ImageNet (`{name}`), and random where these do not fit" if name else "trained on ImageNet"


def _results(numbers: dict[str, Rows], has_held_out_images: bool) -> str:
    rows = [
        [heading_of(row["metric"]), f"{row['value']:.3f}", format_interval(row), row["n"]]
        for of_output in numbers.values()
        for row in of_output
    ]
    notes = [
        "Results on the test images, computed in PyTorch after training, in the precision of the training. The bundle "
        "computes in another precision, so single answers can differ: see Precisions. Intervals: bootstrap over groups "
        "of near-duplicates, 2,000 draws; they do not include the variation between seeds."
    ]
    if CLASS in numbers:
        notes[0] += (
            " Probabilities are those before calibration, which does not change the most likely class. The recall of "
            "malignant is the sensitivity of the most likely class, without the threshold."
        )
    if not has_held_out_images:
        notes.append(
            "**No test image is held out from all networks**, which were trained on different folds. Each test image "
            "was predicted by the networks that have not seen it, so these are not the results of the mean of all "
            "networks, for which there are none."
        )
    table = make_table(["metric", "value", "95% interval", "images"], rows)
    return "\n\n".join(["## Test results", *notes, table])


def _calibration(team: Team, calibration: Calibration | None) -> str:
    if calibration is None:
        return (
            f"## Calibration\n\nThe probabilities are **{NOT_CALIBRATED}**, and there is no threshold for malignant: "
            "no out-of-fold predictions were given, and there are too few validation images."
        )
    tested, names = calibration.tested, ("log_loss", "calibration_error")
    kinds = [(calibration.n, "validation" if calibration.on == VALIDATION else "out of fold", calibration.before,
              calibration.after)]  # fmt: skip
    if tested is not None:
        kinds.append((tested["n"], "test", tested["before"], tested["after"]))
    rows = [
        [f"{number} {kind}", *(format_number(scores[name]) for name in names for scores in (before, after))]
        for number, kind, before, after in kinds
    ]
    lines = [
        "## Calibration",
        f"Temperature {calibration.temperature:.3f}, fitted on {_fitted_on(team, calibration)}. No test image was used"
        + (" that a network has seen." if tested is None else ".")
        + _meant_for(team, calibration),
        make_table(["images", *(f"{title_of(name)} {when}" for name in names for when in ("before", "after"))], rows),
    ]
    where = "On the validation images" if calibration.on == VALIDATION else "Out of fold"
    for name, chosen in (calibration.thresholds or {}).items():
        text = (
            f"Threshold for {name}: {chosen['threshold']:.4f}, chosen for a sensitivity of at least "
            f"{100 * chosen['asked']:g}%. {where}, its sensitivity is {chosen['sensitivity']:.3f} "
            f"({chosen['positives']} images) and its specificity {chosen['specificity']:.3f} ({chosen['negatives']} "
            "images)"
        )
        if tested is not None:
            text += (
                f"; on the test images, {format_number(tested[name]['sensitivity'], '.3f')} and "
                f"{format_number(tested[name]['specificity'], '.3f')}"
            )
        lines.append(f"{text}.")
    return "\n\n".join(lines)


def _meant_for(team: Team, calibration: Calibration) -> str:
    """Say what a calibration on predictions of other networks leaves open."""
    if calibration.on == VALIDATION or calibration.tested is None or not team.has_held_out_images:
        return ""
    return (
        " So the temperature and the threshold suit those networks; the test images show how well they suit this "
        "bundle. The numbers of this section have no intervals."
    )


def _fitted_on(team: Team, calibration: Calibration) -> str:
    """Say which predictions the calibration was fitted on."""
    if calibration.on == VALIDATION:
        return (
            f"{calibration.n} validation images, which also chose the kept epochs, so it may be slightly too confident"
        )
    if team.has_held_out_images:
        return (
            f"{calibration.n} images that {calibration.runs} other networks of the same recipe predicted out of fold: "
            "each of these images was new to the network that predicted it"
        )
    return (
        f"{calibration.n} images, each predicted by the networks that have not seen it; the mean of all networks is a "
        "little less confident than one of them"
    )


def _precisions(bundle: Bundle, is_held_out: bool, tested: int) -> str:
    variants, default = bundle.variants, bundle.default_precision
    first = next(iter(variants.values()))
    columns = [(heading, key, form) for heading, key, form in _COLUMNS if key in first]
    columns += [(key.replace("_", ", "), key, ".3f") for key in first if key.startswith(("sensitivity_", "specific"))]
    rows = [
        [f"**{name}** (default)" if name == default else name,
         *(format_number(variant[key], form) for _, key, form in columns), f"{variant['ms']:.1f}"]
        for name, variant in variants.items()
    ]  # fmt: skip
    on = (
        f"the {first['images']} images that all networks held out (validation and test)"
        if is_held_out
        else f"{first['images']} test images of single networks, which the others were trained on, so that only the "
        "differences count"
    )
    means = [meaning for key, meaning in _MEANINGS.items() if key in first]
    note = (
        f"On {on}, from the image file to the answer, each precision against fp32, without intervals: "
        f"{'; '.join(means)}. Time: median of a whole diagnosis without heat map, on the machine of the export and "
        "next to its other work: it compares the precisions and is no benchmark."
    )
    if "bf16" in bundle.precisions and "bf16" not in variants:
        note += " bf16 was not measured: the CPU of the export does not have it."
    if variants.keys() - set(bundle.precisions):
        note += f" This bundle holds {' and '.join(bundle.precisions)} only."
        if "fp32" in bundle.precisions:
            note += (
                f" Its weights are stored in 16 bits. On {min(tested, COMPARED)} images this changed the probabilities "
                f"of classes by less than {HALVED[CLASS]}, and those of single pixels by less than {HALVED[MASK]}."
            )
    return "\n\n".join(["## Precisions", note, make_table(["", *(heading for heading, *_ in columns), "ms"], rows)])
