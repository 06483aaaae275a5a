"""Report a request that failed in one line without the error's words, which may quote what a visitor has sent."""

import sys
from types import SimpleNamespace
from typing import Any


def report_failure(error: BaseException | None) -> None:
    """Print the kind of an error."""
    print(f"Error: a request could not be answered ({type(error).__name__}).", file=sys.stderr, flush=True)


def replace_tracebacks() -> None:
    """Let Gradio report failures in the same way; it prints a traceback for each request that no browser sends."""
    from gradio import queueing, route_utils, routes

    modules: tuple[Any, ...] = (queueing, route_utils, routes)
    for module in modules:
        module.traceback = SimpleNamespace(print_exc=lambda: report_failure(sys.exc_info()[1]))
