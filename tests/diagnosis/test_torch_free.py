"""The diagnosis runs where PyTorch and the other training libraries are not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in ("torch", "torchvision", "lightning", "hydra", "omegaconf", "sklearn", "matplotlib", "onnx"):
    sys.modules[name] = None  # importing it fails, as if it were not installed
import bus_lightning.diagnosis
for module in pkgutil.walk_packages(bus_lightning.diagnosis.__path__, "bus_lightning.diagnosis."):
    importlib.import_module(module.name)
    print(module.name)
"""


@pytest.mark.slow
def test_every_module_of_the_diagnosis_can_be_imported_without_the_training_libraries():
    pytest.importorskip("gradio", reason="needs gradio: pip install -e '.[app]'")
    command = [sys.executable, "-c", IMPORT_ALL]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ran.returncode == 0, ran.stderr
    assert {"bus_lightning.diagnosis.predict", "bus_lightning.diagnosis.page.building"} <= set(ran.stdout.split())
