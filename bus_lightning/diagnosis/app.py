"""Show a page, on this machine, to diagnose images with a bundle."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.options import bundle_parser, positive

_EPILOG = """\
The page is for this machine alone unless --host says otherwise. It asks nothing from outside and reports to nobody.
What is given is read in a private temporary folder and deleted as soon as it has been read; the files' own names stay
in the browser. Ctrl-C ends it. The exit code is 2 when it could not begin.

For research: this is not a medical device.
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    found = bundle_parser("python -m bus_lightning.diagnosis.app", __doc__, _EPILOG)
    found.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    found.add_argument("--port", type=_port, default=7860, help="0 takes a free one (default: %(default)s)")
    found.add_argument("--max-mb", type=positive, default=100, metavar="N",
                       help="size of a file that is taken at most (default: %(default)s)")  # fmt: skip
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit code: 0 when it was ended in order, 2 when it could not begin.
    """
    options = parser().parse_args(arguments)
    try:
        from bus_lightning.diagnosis.frames import Limits  # none of these for --help
        from bus_lightning.diagnosis.page.serving import Options, serve

        limits = replace(Limits(), file_bytes=options.max_mb * 1_000_000)
        serve(
            Options(options.bundle, options.host, options.port, options.precision, options.threads, limits),
            say=lambda line: print(line, flush=True),
        )
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
