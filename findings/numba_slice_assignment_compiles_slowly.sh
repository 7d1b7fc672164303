#!/usr/bin/env bash
# numba takes several times as long to compile `out[:n] = row` as the loop that does the same.
#
# Package: numba 0.68.1
# Expected: assigning an array to a slice is the short way to write the loop, and costs about as much
#   to compile.
# Seen: the shapes are checked, and the text of the error for shapes that do not fit is put together in
#   compiled code: numba compiles its number formatting and string joining with it, once for each
#   function that has such a line.
# Output seen: loop 0.06 s, slice assignment 1.62 s of CPU: 28 times
# Why it matters: a perception node compiles some dozens of kernels at its first start. A few lines like
#   this in them are seconds of start-up, and nothing shows where they go. Write the loop.
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.2.6
unset NUMBA_CACHE_DIR NUMBA_DISABLE_JIT

cat > "$work/compile.py" <<'PYTHON'
import sys
import time

import numba
import numpy as np


@numba.njit
def first(out, row):  # what numba itself needs once
    for i in range(len(row)):
        out[i] = row[i]


@numba.njit
def loop(out, row):
    for i in range(len(row)):
        out[i] = 2 * row[i]


@numba.njit
def assigned(out, row):
    out[: len(row)] = row


out, row = np.zeros(8, np.float32), np.ones(5, np.float32)
first(out, row)
chosen = {"loop": loop, "assigned": assigned}[sys.argv[1]]
start = time.process_time()
chosen(out, row)
print(time.process_time() - start)
PYTHON

python="$work/venv/bin/python"
loop=$("$python" "$work/compile.py" loop)
assigned=$("$python" "$work/compile.py" assigned)
"$python" - "$loop" "$assigned" <<'PYTHON'
import sys

loop, assigned = map(float, sys.argv[1:])
print(f"loop {loop:.2f} s, slice assignment {assigned:.2f} s of CPU: {assigned / loop:.0f} times")
sys.exit(assigned < 4 * loop)
PYTHON
