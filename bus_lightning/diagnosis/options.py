"""Options that the commands of the diagnosis share."""

import argparse

from bus_lightning.core.arguments import add_version, positive

DECODE_SECONDS = 10
DECODE_MB = 400
BUNDLE_HELP = "folder written by python -m bus_lightning.export (default: the model in the package)"


def bundle_parser(
    program: str, description: str | None, epilog: str, decode_mb: int = DECODE_MB
) -> argparse.ArgumentParser:
    """Make the parser of a command that answers with a bundle: precision, threads, and the bounds of decoding."""
    parser = argparse.ArgumentParser(
        prog=program, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"), help="default: that of the bundle")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: all)")
    parser.add_argument("--decode-seconds", type=positive, default=DECODE_SECONDS, metavar="N",
                        help="seconds that decoding an image may take (default: %(default)s)")  # fmt: skip
    parser.add_argument("--decode-mb", type=positive, default=decode_mb, metavar="N",
                        help="megabytes that decoding a file may take (default: %(default)s)")  # fmt: skip
    return parser
