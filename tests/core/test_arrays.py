"""An array from elsewhere: its header is read, or refused as one kind of error."""

from io import BytesIO

import pytest

from bus_lightning.core.arrays import read_array

HEADERS = {
    "open brackets": "(" * 300,
    "an open text": "'''",
    "cut off": "{'descr': '<f8'",
    "an odd indentation": "  x\n y\n",
    "thousands of signs": "-" * 9000 + "1",
    "a list as a name": "{[1]: 2}",
    "a kind of one part": "{'descr': ('<f8',), 'fortran_order': False, 'shape': (1,), }",
    "a flag as a length": "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
    "a negative length": "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }",
    "objects": "{'descr': 'O', 'fortran_order': False, 'shape': (1,), }",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_no_array_has_is_a_value_error(header):
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)
    with pytest.raises(ValueError, match=r"header cannot be read|does not hold plain numbers"):
        read_array(BytesIO(content), len(content))
