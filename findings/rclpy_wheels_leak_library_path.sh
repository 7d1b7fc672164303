#!/usr/bin/env bash
# A Python started from a process with the rclpy wheels cannot import another venv's rclpy.
#
# Package: ros-rclpy 7.1.6 (Jazzy) and 9.1.2 (Kilted), ros-wheels-bootstrapper 0.1.2
# Expected: the Python of a virtual environment uses that environment's libraries, whoever starts
#   it.
# Seen: a .pth file of the wheels runs every Python of the venv twice: it sets LD_LIBRARY_PATH to
#   the venv's libraries and _ROS_WHEELS_BOOTSTRAP_COMPLETE=1, then executes itself anew. Both
#   variables go down to child processes. A child of another venv takes the mark for its own, sets
#   no path, and looks for its libraries in the wrong venv.
# Output seen:
#   started from a shell:            rclpy of 9.1.2 imported
#   started from the Jazzy process:  ImportError: libfastdds.so.3.2: cannot open shared object file
#   without the two variables:       rclpy of 9.1.2 imported
# Why it matters: a launch file, a test or a build that starts a tool of another environment fails
#   with a message about a missing library that is there. Every child that is not of the same venv
#   also gets the other LD_LIBRARY_PATH. Remove both variables before starting such a child.
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
for release in 7.1.6 9.1.2; do
    "${PYTHON:-python3}" -m venv "$work/$release"
    "$work/$release/bin/pip" install --quiet "ros-rclpy[fastrtps]==$release"
done

cat > "$work/child.py" <<'PYTHON'
import importlib.metadata

import rclpy

rclpy.init()
print("rclpy of", importlib.metadata.version("ros-rclpy"), "imported")
PYTHON

cat > "$work/parent.py" <<'PYTHON'
"""parent.py CHILD...: starts the child as it is, then without the two variables."""

import os
import subprocess
import sys

names = ("LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
assert all(name in os.environ for name in names), "nothing set: the wheels changed"


def start(environment):
    return subprocess.run(sys.argv[1:], env=environment, capture_output=True, text=True)


inherited = start(dict(os.environ))
error = [line for line in inherited.stderr.splitlines() if line.startswith("ImportError")]
print("started from the Jazzy process: ", *error or [inherited.stdout.strip()])
clean = start({name: value for name, value in os.environ.items() if name not in names})
print("without the two variables:      ", clean.stdout.strip() or clean.stderr)
as_described = inherited.returncode != 0 and "shared object" in inherited.stderr
sys.exit(0 if as_described and clean.returncode == 0 else 1)
PYTHON

echo "started from a shell:            $("$work/9.1.2/bin/python" "$work/child.py")"
"$work/7.1.6/bin/python" "$work/parent.py" "$work/9.1.2/bin/python" "$work/child.py"
