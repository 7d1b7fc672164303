#!/usr/bin/env bash
# numba's cache on disk gives the old answer after a function or constant in another file changed.
#
# Package: numba 0.68.1
# Expected: @njit(cache=True) compiles anew when the code that goes into a kernel has changed.
# Seen: only the file that holds the kernel itself is looked at. A helper or a constant that it
#   imports from another module is compiled into it, and stays as it was: the next process takes the
#   kernel from the cache, with one hit and no warning. Without compilation the answer is right.
# Output seen:
#   RANGE_M = 50: compiled 50, plain Python 50
#   RANGE_M = 80: compiled 50, plain Python 80
#   a comment added to the kernel's file: compiled 80, plain Python 80
# Why it matters: someone moves a range limit or a helper of geometry into a module of its own, as
#   one should, then tunes it: tests and nodes go on with the old number, on this machine only. A
#   fresh checkout or CI sees the new one. Empty __pycache__ (*.nbi, *.nbc), or give each run of a
#   changed tree its own NUMBA_CACHE_DIR.
# Issue: https://github.com/numba/numba/issues/1833 (open since 2016)
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.2.6
unset NUMBA_CACHE_DIR NUMBA_DISABLE_JIT

cat > "$work/limits.py" <<'PYTHON'
import numba

RANGE_M = 50


@numba.njit
def is_near(range_m):
    return range_m < RANGE_M
PYTHON
cat > "$work/kernels.py" <<'PYTHON'
import numba
from limits import is_near


@numba.njit(cache=True)
def count_near(ranges):
    count = 0
    for range_m in ranges:
        if is_near(range_m):
            count += 1
    return count
PYTHON
cat > "$work/run.py" <<'PYTHON'
import limits
import numpy as np
from kernels import count_near

ranges = np.arange(100.0)
print(f"compiled {count_near(ranges)}, plain Python", sum(r < limits.RANGE_M for r in ranges))
PYTHON

# Later than the files, so that times of a coarse clock differ.
change() { sleep 1.1 && "$@"; }
run() { (cd "$work" && "$work/venv/bin/python" run.py); }
before=$(run)
echo "RANGE_M = 50: $before"
change sed -i 's/RANGE_M = 50/RANGE_M = 80/' "$work/limits.py"
after=$(run)
echo "RANGE_M = 80: $after"
change sed -i '1i # a comment' "$work/kernels.py"
edited=$(run)
echo "a comment added to the kernel's file: $edited"
[ "$before" = "compiled 50, plain Python 50" ] && [ "$after" = "compiled 50, plain Python 80" ] &&
    [ "$edited" = "compiled 80, plain Python 80" ]
