"""Average runs as `evaluate.py runs=... ensemble=...` does."""

from composing import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from bus_lightning.config.schema import EVALUATE, check_kinds
from bus_lightning.runs.folder import RunDir
from bus_lightning.training.ensembles import evaluate_ensembles


def average(runs, name="seeds", *overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("evaluate", overrides=[f"runs='{runs}'", f"ensemble={name}", "progress=false", *overrides])
    evaluate_ensembles(check_kinds(cfg, EVALUATE))


def ensembles_in(group):
    return sorted(path for path in group.iterdir() if RunDir(path).is_ensemble)
