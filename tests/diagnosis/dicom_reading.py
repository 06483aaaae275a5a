"""Read bytes as a DICOM file, or give the line with which they are refused."""

import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.reading import read_frames


def reader_in(folder):
    """Return a function that reads all images of a DICOM file, which is written into the folder."""

    def read(data):
        (folder / "a.dcm").write_bytes(data)
        return list(read_frames(folder / "a.dcm"))

    return read


def refusal_by(read):
    """Return a function that gives the line with which `read` refuses."""

    def refusal(data):
        with pytest.raises(UserError) as caught:
            read(data)
        return str(caught.value)

    return refusal
