#!/usr/bin/env bash
# One empty cell in a column of long patient numbers makes pandas take different patients for one.
#
# Library: pandas 3.1.1, numpy 2.4.6, `read_csv` without dtype.
# Guess: an empty cell changes only its own row.
# Seen: without a gap, 90071992547409931 and 90071992547409932 are two whole numbers. With a gap elsewhere in the column all
#   are floats, which round both to 90071992547409936: one patient in place of two. The numbers 12E4 and 0120000 are one, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
from io import StringIO

import pandas as pd


def count(*patients):
    rows = "".join(f"{number}.png,{patient}\n" for number, patient in enumerate(patients))
    column = pd.read_csv(StringIO("image,patient\n" + rows))["patient"]
    print(patients, "->", column.nunique(), "patients, such as", int(column[0]))
    return column.nunique()


assert count("90071992547409931", "90071992547409932") == 2
assert count("90071992547409931", "90071992547409932", "") == 1
assert count("12E4", "0120000") == 1
PYTHON
echo "As described."
