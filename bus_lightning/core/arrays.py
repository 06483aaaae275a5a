"""Read NumPy's files that others may have made: what their header announces is compared with their size first."""

import math
from typing import IO

import numpy as np
from numpy.lib import format as npy


def read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """Read an array of plain numbers from a stream of `size` bytes in NumPy's format.

    Raises:
        ValueError: If the header announces another number of bytes than the stream has, or objects, or is damaged.
    """
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is of version {version[0]} of NumPy's format")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, is_fortran, kind = read_header(stream)
    except Exception as error:  # NumPy parses it as Python, which can raise anything
        raise ValueError(f"its header cannot be read ({type(error).__name__}: {error})") from error
    announced, length = math.prod(shape) * kind.itemsize, size - stream.tell()
    if kind.hasobject or kind.names or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("it does not hold plain numbers")
    if announced != length:
        raise ValueError(f"its header announces {announced:,} bytes, and it has {length:,}")
    values = np.frombuffer(stream.read(length), kind)
    return values.reshape(shape, order="F" if is_fortran else "C")
