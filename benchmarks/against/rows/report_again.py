"""Time a second report over the demo's four runs, which have not changed since the first one."""

from report_rows import demo_runs, time_report
from timed import print_result, work_folder

if __name__ == "__main__":
    group = demo_runs(work_folder())
    time_report(group)
    print_result(time_report(group))
