#!/usr/bin/env bash
# Whether taking a lock empties the lock file differs between two patch releases.
#
# Library: filelock 4.2.0 and 4.2.1, `FileLock(..., on_acquired=...)`, on Linux.
# Guess: the content of a lock file, such as the name of the process that held it, is there for the next owner in both.
# Seen: with 4.2.0 the file is empty when `on_acquired` gets its descriptor; with 4.2.1 the content is still there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 4.2.0 4.2.1; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet --disable-pip-version-check "filelock==$version"
  "$work/$version/bin/python" - "$work/file.lock" <<'PYTHON' >> "$work/seen"
import os
import sys
from pathlib import Path

import filelock

file = Path(sys.argv[1])
file.write_text("process 4711")
seen = []
with filelock.FileLock(file, on_acquired=lambda descriptor: seen.append(os.read(descriptor, 100))):
    print(filelock.__version__, seen[0])
PYTHON
done
cat "$work/seen"
[ "$(cat "$work/seen")" = "4.2.0 b''
4.2.1 b'process 4711'" ]
echo "As described."
