"""Keep the visitors' results for their reports: in memory, packed, and within a bound."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from bus_lightning.diagnosis.page.view import View

_TOTAL_BYTES = 128_000_000  # 24 grey images of the largest size, 99 of 500 x 500 pixels
_KEPT_S, _AFTER_LEAVING_S = 3600.0, 60.0


@dataclass(eq=False)
class _Packed:
    """A view in less memory, without loss."""

    view: View  # without arrays
    image: np.ndarray  # (H, W, 3 or 1) uint8: one channel if all are equal
    mask: np.ndarray | None  # bits
    heat_map: np.ndarray | None
    since: float = field(default_factory=time.monotonic)
    left_at: float | None = None

    @property
    def bytes(self) -> int:
        """Size of the arrays."""
        return sum(array.nbytes for array in (self.image, self.mask, self.heat_map) if array is not None)


class Kept:
    """The latest result of each visitor, the least recently used one first.

    A result is dropped after an hour, a minute after its visitor has left, and when all together are too large.
    """

    def __init__(
        self, total_bytes: int = _TOTAL_BYTES, kept_s: float = _KEPT_S, after_leaving_s: float = _AFTER_LEAVING_S
    ) -> None:
        self._total_bytes, self._kept_s, self._after_leaving_s = total_bytes, kept_s, after_leaving_s
        self._results: dict[str, _Packed] = {}
        self._asked: dict[str, float] = {}  # when the visitors asked for what they see

    def put(self, visitor: str, view: View | None, asked: float) -> bool:
        """Keep a result instead of the former one; None only drops that.

        Args:
            visitor: Whose result it is.
            view: The result; None if there is none.
            asked: When the visitor asked for it, by the visitor's clock.

        Returns:
            Whether it is kept: not if the visitor has the result of a later request, which stays.
        """
        if asked < self._asked.get(visitor, asked):
            return False
        self._asked[visitor] = asked
        self._results.pop(visitor, None)
        if view is not None:
            self._results[visitor] = _pack(view)
        while sum(result.bytes for result in self._results.values()) > self._total_bytes:
            del self._results[next(iter(self._results))]
        return True

    def get(self, visitor: str) -> View | None:
        """Return a visitor's result, if it is still there."""
        packed = self._results.pop(visitor, None)
        if packed is None:
            return None
        self._results[visitor] = packed
        return _unpack(packed)

    def sweep(self, is_here: Callable[[str], bool]) -> None:
        """Drop the results that are old, or whose visitors have left."""
        now = time.monotonic()
        self._asked = {visitor: asked for visitor, asked in self._asked.items() if is_here(visitor)}
        for visitor, packed in list(self._results.items()):
            packed.left_at = None if is_here(visitor) else packed.left_at or now
            has_left = packed.left_at is not None and now - packed.left_at >= self._after_leaving_s
            if has_left or now - packed.since >= self._kept_s:
                del self._results[visitor]


def _pack(view: View) -> _Packed:
    image, nothing = view.image, np.empty(0)
    if (image == image[..., :1]).all():
        image = image[..., :1].copy()
    bare = replace(view, image=nothing, diagnosis=replace(view.diagnosis, mask=None, heat_map=None))
    mask = view.diagnosis.mask
    return _Packed(bare, image, None if mask is None else np.packbits(mask), view.diagnosis.heat_map)


def _unpack(packed: _Packed) -> View:
    height, width = packed.image.shape[:2]
    mask = None
    if packed.mask is not None:
        mask = np.unpackbits(packed.mask, count=height * width).reshape(height, width).astype(bool)
    diagnosis = replace(packed.view.diagnosis, mask=mask, heat_map=packed.heat_map)
    image = np.ascontiguousarray(np.broadcast_to(packed.image, (height, width, 3)))
    return replace(packed.view, image=image, diagnosis=diagnosis)
