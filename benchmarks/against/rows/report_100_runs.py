"""Time the first report over 100 runs of 20 conditions, and measure its peak memory."""

from report_rows import forget, time_report
from timed import print_result, work_folder
from varied_runs import make_runs

if __name__ == "__main__":
    group = make_runs(work_folder() / "runs" / "of_100", 100)
    forget(group)
    print_result(time_report(group))
