"""Ask train.py for its help, in a fresh interpreter."""

import subprocess
import sys

from timed import print_result, time_command, work_folder

if __name__ == "__main__":
    work_folder()
    print_result(time_command([sys.executable, "train.py", "--help"], stdout=subprocess.DEVNULL))
