"""The only import of OpenVINO: without its report to a server, and without files in the home folder."""

import sys

from bus_lightning.core.workarounds import silence_openvino

silence_openvino()
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
