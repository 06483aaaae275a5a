"""An honest experiment framework for breast ultrasound: segment the lesion, classify the image."""

__version__ = "0.1.0"
