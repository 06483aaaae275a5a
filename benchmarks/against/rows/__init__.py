"""Probes that run with an earlier build as well as with this one.

Each is a script. PYTHONPATH decides which build it imports, and the working folder is the top of that build. It uses
only commands and functions that both builds have, prepares what it needs in `--work FOLDER` outside the clock, and
prints a JSON object on its last line: `{"seconds": 12.3}`. `processor_seconds` and `peak_mb` are shown, too, and a row
of the table can name other numbers. A module that is no script is no probe: probes may import it.
"""
