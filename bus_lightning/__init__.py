"""An honest experiment framework for breast ultrasound: segment the lesion, classify the image."""

from bus_lightning import diagnosis as diagnosis
from bus_lightning import runs as runs
from bus_lightning.core.telemetry import switch_off

__version__ = "0.2.0"

switch_off()
