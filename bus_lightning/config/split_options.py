"""The parts of a split, and the methods and ratios that `data.split` accepts."""

from collections.abc import Sequence

from bus_lightning.core.errors import UserError

PARTS = ("train", "val", "test")
METHODS = ("grouped", "stratified", "random", "file", "published")
GIVEN = ("file", "published")  # methods that read the parts instead of choosing them


def shares(ratio: Sequence[int], val_from_train: int = 0) -> tuple[int, int, int]:
    """Read a ratio of two or three numbers as the parts of train, validation and test.

    Raises:
        UserError: If it is not such a ratio.
    """
    numbers = isinstance(ratio, Sequence) and all(isinstance(share, int | float) and share >= 0 for share in ratio)
    if not numbers or len(ratio) not in (2, 3) or ratio[0] == 0 or ratio[-1] == 0:
        raise UserError(f"data.split.ratio={ratio}: give [train,test] or [train,val,test] in parts: '[11,1,3]'.")
    train, val, test = (ratio[0], 0, ratio[1]) if len(ratio) == 2 else ratio
    if not 0 <= val_from_train < train:
        raise UserError(
            f"data.split.val_from_train={val_from_train}: take from 0 to {train - 1} of the training parts."
        )
    return train - val_from_train, val + val_from_train, test


def refuse_parts(method: str, folds: int | None) -> None:
    """Refuse a split whose parts are given, where whole data sets are tested.

    Raises:
        UserError: The option.
    """
    if folds is not None or method in GIVEN:
        option = "folds" if folds is not None else f"method={method}"
        raise UserError(f"data.test tests whole data sets: data.split.{option} does not work with it.")
