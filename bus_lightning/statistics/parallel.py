"""Call a function for many conditions at once, on every core if there are enough cases."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from joblib import Parallel, cpu_count, delayed

_MANY = 20_000  # cases: with fewer, starting processes takes longer than they save
_Result = TypeVar("_Result")


def call_in_parallel(function: Callable[..., _Result], calls: Iterable[tuple[Any, ...]], cases: int) -> list[_Result]:
    """Call a function with each tuple of arguments and return the results in order.

    Args:
        function: A function of a module, because other processes must be able to import it.
        calls: Arguments of each call.
        cases: Number of cases of all calls; above 20,000 every core is used.
    """
    workers = cpu_count() if cases > _MANY else 1
    results: list[_Result] = Parallel(n_jobs=workers)(delayed(function)(*arguments) for arguments in calls)
    return results
