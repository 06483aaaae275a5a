"""Import what a training imports, in a fresh interpreter."""

import sys

from timed import print_result, time_command, work_folder

_CODE = "import bus_lightning.launch.jobs, bus_lightning.training.fit"

if __name__ == "__main__":
    work_folder()
    print_result(time_command([sys.executable, "-c", _CODE]))
