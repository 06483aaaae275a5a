"""Find the pairs of images that are worth comparing by hashes of their descriptors, without comparing all pairs."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# Codes of log2(number of descriptors) bits keep the mean bucket near one descriptor for any number of images.
# Buckets of more than `_MAX_BUCKET` images hold common things (burned-in text, borders) and would cost quadratic time.
_TABLES = 12
_ENTRIES = 8
_MAX_BUCKET = 64
# With these two, every pair of BUSI that agrees at 0.4 or more becomes a candidate.
_MAX_CANDIDATES = 10
_MIN_VOTES = 3
_ROWS = 64  # images whose votes are counted at a time


def candidate_pairs(descriptors: Sequence[NDArray[np.uint8]], across: int = 0) -> dict[tuple[int, int], int]:
    """Find the pairs of images whose descriptors share the most buckets (locality-sensitive hashing).

    Args:
        descriptors: Of each image, (k, 128) uint8.
        across: If not 0, only pairs with one image among the first `across` and one among the others.

    Returns:
        Pair (i, j), i < j -> number of shared buckets.
    """
    n = len(descriptors)
    owner = np.repeat(np.arange(n), [len(own) for own in descriptors])
    if len(owner) == 0:
        return {}
    bits = max(8, int(np.ceil(np.log2(len(owner)))))
    # A bit says which of two random sets of entries has the larger sum.
    planes = np.zeros((_TABLES * bits, 128), np.float32)
    generator = np.random.default_rng(0)
    for plane in planes:
        entries = generator.permutation(128)
        plane[entries[:_ENTRIES]], plane[entries[_ENTRIES : 2 * _ENTRIES]] = 1, -1
    codes = np.concatenate([_codes(own, planes) for own in descriptors])
    tables = []
    for code in codes.T:
        used, bucket = np.unique(code, return_inverse=True)
        ones = np.ones(len(owner), np.int32)
        table = sparse.coo_matrix((ones, (owner, bucket)), shape=(n, len(used))).tocsc()
        table.data[:] = 1
        images = np.diff(table.indptr)
        tables.append(table[:, (images > 1) & (images <= _MAX_BUCKET)])
    return dict(_most_votes(sparse.hstack(tables, format="csr"), across))


def _codes(descriptors: NDArray[np.uint8], planes: NDArray[np.float32]) -> NDArray[np.int32]:
    """Hash descriptors: (k, 128) to (k, tables)."""
    bits = len(planes) // _TABLES
    above = descriptors.astype(np.float32) @ planes.T > 0
    return above.reshape(-1, _TABLES, bits) @ (1 << np.arange(bits, dtype=np.int32))


def _most_votes(image_buckets: sparse.csr_matrix, across: int) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield each image with those that share the most buckets, and how many; some rows at a time, to limit memory."""
    bucket_images = image_buckets.T.tocsr()
    n = image_buckets.shape[0]
    for start in range(0, n, _ROWS):
        block = image_buckets[start : start + _ROWS] @ bucket_images
        for i, low, high in zip(range(start, n), block.indptr, block.indptr[1:], strict=False):
            images, votes = block.indices[low:high], block.data[low:high]
            eligible = (images != i) & (votes >= _MIN_VOTES)
            if across:
                eligible &= (images < across) != (i < across)
            others, votes = images[eligible], votes[eligible]
            best = np.lexsort((others, -votes))[:_MAX_CANDIDATES]
            for j, number in zip(others[best].tolist(), votes[best].tolist(), strict=True):
                yield (min(i, j), max(i, j)), number
