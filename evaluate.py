"""Evaluate the kept checkpoints of runs: `python evaluate.py runs='runs/classification/*'`."""

import sys

from bus_lightning.launch.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
