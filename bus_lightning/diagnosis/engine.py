"""The only import of OpenVINO, without its converter of models."""

import sys

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
