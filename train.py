"""Train one run or a grid: `python train.py -m model=resnet50,alexnet,deepcardinal50`."""

import sys

from bus_lightning.launch.train import main

if __name__ == "__main__":
    sys.exit(main())
