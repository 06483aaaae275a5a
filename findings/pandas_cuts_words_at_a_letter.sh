#!/usr/bin/env bash
# pandas that looks for the separator itself cuts a list of image names at a letter, without a word.
#
# Library: pandas 3.1.1, numpy 2.4.6, `read_csv(sep=None, engine="python")`, which asks the standard library's csv.Sniffer.
# Guess: a table of one column stays one column, or there is an error.
# Seen: the column "image" becomes "i" and "age", cut at the m; "File" becomes "Fi" and "e", cut at the l. The names of the
#   images stand in a column that nobody asks for, and the second column is empty. With two columns it guesses right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
from io import StringIO

import pandas as pd

tables = {
    "image\nbenign_001.png\nbenign_002.png\nmalignant_003.png\n": ["i", "age"],
    "File\nus/a.png\nus/b.png\n": ["Fi", "e"],
    "image;patient\na.png;007\nb.png;008\n": ["image", "patient"],
}
for text, columns in tables.items():
    table = pd.read_csv(StringIO(text), sep=None, engine="python")
    print(text.partition("\n")[0], "->", list(table.columns), table.iloc[0].tolist())
    assert list(table.columns) == columns
PYTHON
echo "As described."
