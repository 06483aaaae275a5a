"""The folders `<run>/evaluations/<name>/`: their names, and which of them a run has."""

from collections.abc import Sequence

from bus_lightning.runs.folder import RunDir


def evaluation_folder(run: RunDir, part: str, content: str, split: str, options: Sequence[str] = ()) -> RunDir:
    """Return the folder of an evaluation.

    Args:
        run: The run, or the ensemble.
        part: The evaluated part of the split.
        content: Hash of the images.
        split: Hash of the split.
        options: Options of `predict` that differ from those of the run, such as `flips-true`.
    """
    return RunDir(run.path / "evaluations" / "-".join([part, content[:8], split[:8], *options]))


def list_evaluations(run: RunDir) -> list[RunDir]:
    """List the folders of evaluations, complete or not, sorted by name."""
    return [RunDir(path) for path in sorted((run.path / "evaluations").glob("[!.]*/"))]
