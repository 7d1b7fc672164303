#!/usr/bin/env bash
# Importing ouster-sdk replaces sqlite3.connect for the whole process.
#
# Package: ouster-sdk 1.0.1
# Expected: importing a library for LiDAR packets leaves the standard library as it is.
# Seen: `import ouster.sdk.core` also imports ouster.sdk.bag, which puts a function of its own in the
#   place of sqlite3.connect. It passes check_same_thread=False, whatever the caller asks for.
# Output seen:
#   before: a connection used in another thread: refused
#   after:  a connection used in another thread: accepted
# Why it matters: Python refuses a connection in another thread because sqlite3 objects are not safe
#   there. After the import, mistakes of that kind in any other code, such as a bag reader used by
#   two threads, pass without a word. Import the SDK in a process of its own where that matters.
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ouster-sdk==1.0.1
"$work/venv/bin/python" - <<'PYTHON'
import sqlite3
import sys
import threading


def in_another_thread():
    connection = sqlite3.connect(":memory:", check_same_thread=True)
    outcome = []

    def use():
        try:
            connection.execute("SELECT 1")
            outcome.append("accepted")
        except sqlite3.ProgrammingError:
            outcome.append("refused")

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    return outcome[0]


before = in_another_thread()
print(f"before: a connection used in another thread: {before}")
import ouster.sdk.core  # noqa: E402, F401

after = in_another_thread()
print(f"after:  a connection used in another thread: {after}")
sys.exit(0 if (before, after) == ("refused", "accepted") else 1)
PYTHON
