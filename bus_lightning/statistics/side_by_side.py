"""Work on conditions side by side, where there are so many runs that it pays."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from joblib import Parallel, cpu_count, delayed

_PAYS = 20_000  # cases in all: below it, starting processes takes longer than they save
_Found = TypeVar("_Found")


def side_by_side(function: Callable[..., _Found], calls: Iterable[tuple[Any, ...]], cases: int) -> list[_Found]:
    """Call a function with each of the arguments, on every core when there are many cases.

    Args:
        function: Of a module, for other processes must find it.
        calls: Arguments of each call.
        cases: How many cases there are in all.

    Returns:
        What the calls return, in their order.
    """
    workers = cpu_count() if cases > _PAYS else 1
    found: list[_Found] = Parallel(n_jobs=workers)(delayed(function)(*arguments) for arguments in calls)
    return found
