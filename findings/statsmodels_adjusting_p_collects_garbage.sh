#!/usr/bin/env bash
# Adjusting two p-values takes as long as a visit to every object of the process.
#
# Library: statsmodels 0.15.0 (numpy 2.4.6), `multipletests`.
# Guess: the adjustment of a handful of numbers takes microseconds, and with `gc.disable()` no garbage is collected.
# Seen: each call runs a full garbage collection, also while collection is disabled. With three million small lists alive,
#   the adjustment of two values takes hundreds of milliseconds; after `gc.freeze()`, well below one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check statsmodels==0.15.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import gc
from time import perf_counter

from statsmodels.stats.multitest import multipletests


def measure():
    start = perf_counter()
    multipletests([0.01, 0.2], method="holm")
    return perf_counter() - start


collected = []
gc.callbacks.append(lambda phase, info: collected.append(info["generation"]) if phase == "start" else None)
gc.disable()
measure()
print("generations collected by a call while collection is disabled:", collected)
assert collected == [2]
alive = [[number] for number in range(3_000_000)]
busy = min(measure() for _ in range(5))
gc.freeze()
frozen = min(measure() for _ in range(5))
print(f"with {len(alive):,} lists alive: {busy * 1000:.1f} ms; with the same lists frozen: {frozen * 1000:.3f} ms")
assert busy > 20 * frozen
PYTHON
echo "As described."
