"""Time the first report over the demo's four runs."""

from report_rows import demo_runs, forget, time_report
from timed import print_result, work_folder

if __name__ == "__main__":
    group = demo_runs(work_folder())
    forget(group)
    print_result(time_report(group))
