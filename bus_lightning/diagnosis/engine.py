"""The one place that imports OpenVINO, which by itself reports its import to a server and leaves files in the home."""

import sys

# What cannot be imported is not used: OpenVINO, and NNCF after it, then take their own stub.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
_CONVERTER = "openvino.tools.ovc"  # converts models of other frameworks; importing it takes a tenth of a second
_unwanted = _CONVERTER not in sys.modules
if _unwanted:
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]
try:
    import openvino
finally:
    if _unwanted:
        del sys.modules[_CONVERTER]

__all__ = ["openvino"]
