"""Open a page on this machine to diagnose images with the model in the package, or with another bundle."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from bus_lightning.core.arguments import path_of, port, positive
from bus_lightning.core.commands import name_command
from bus_lightning.core.errors import UserError
from bus_lightning.core.output import prepare_output
from bus_lightning.diagnosis.options import BUNDLE_HELP, bundle_parser

_EPILOG = """\
Only this machine can open the page, unless you set --host. The page loads nothing from the internet and sends nothing
to it. It answers to this machine's name and addresses, and to the names that --allow-host gives. Uploads are kept in a
private temporary folder and deleted as soon as they have been read; the names of the files stay in the browser. Stop
the page with Ctrl-C. The exit code is 2 if the page cannot start.

For research: this is not a medical device.
"""


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    options = bundle_parser(name_command("app"), __doc__, _EPILOG, decode_mb=300)  # of each of two processes
    options.add_argument("bundle", type=path_of, nargs="?", metavar="BUNDLE", help=BUNDLE_HELP)
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options.add_argument("--allow-host", action="append", default=[], metavar="NAME",
                         help="answer to this name, too, as in http://NAME/ (may be repeated)")  # fmt: skip
    options.add_argument("--port", type=port, default=7860, help="0 takes a free one (default: %(default)s)")
    options.add_argument("--max-mb", type=positive, default=100, metavar="N",
                         help="size of the largest file that is accepted (default: %(default)s)")  # fmt: skip
    options.add_argument("--local", action="store_true",
                         help="diagnose in the browser, so that no image leaves it; needs onnxruntime-web")  # fmt: skip
    options.add_argument("--runtime", type=path_of, metavar="FOLDER",
                         help="for --local: `dist` of onnxruntime-web (default: where npm installs it)")  # fmt: skip
    return options


def _check(options: argparse.Namespace) -> None:
    """Refuse options that would have no effect: on the page in the browser those of a server, and the reverse."""
    if options.runtime and not options.local:
        raise UserError("--runtime is for the page in the browser: add --local, or leave it out.")
    for name in ("decode_mb", "decode_seconds") if options.local else ():
        if getattr(options, name) != parser().get_default(name):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} has no effect with --local, where the browser decodes the images: leave it out.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 after Ctrl-C, 2 if the page cannot start."""
    prepare_output()
    options = parser().parse_args(arguments)
    try:
        _check(options)
        from bus_lightning.diagnosis.bundle import SHIPPED  # these are not needed for --help
        from bus_lightning.diagnosis.frames import Limits
        from bus_lightning.diagnosis.page.serving import naming_the_extra, serve

        limits = replace(Limits(), file_bytes=options.max_mb * 1_000_000)
        bundle = options.bundle or SHIPPED
        if options.local:
            from bus_lightning.diagnosis.page.local.runtime import FOLDER

            with naming_the_extra():
                from bus_lightning.diagnosis.page.local.serving import serve_local

            serve_local(bundle, options.host, options.port, options.precision, options.threads, limits,
                        options.runtime or FOLDER, options.allow_host)  # fmt: skip
            return 0
        serve(bundle, options.host, options.port, options.precision, options.threads, limits,
              options.decode_mb, options.decode_seconds, options.allow_host)  # fmt: skip
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
