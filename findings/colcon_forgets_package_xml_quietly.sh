#!/usr/bin/env bash
# An apostrophe in the maintainer's address makes colcon forget the dependencies of a package.
#
# Package: colcon-core 0.21.3, colcon-ros 0.5.0, catkin_pkg 1.1.1
# Expected: an address such as d'arc@example.com is valid (RFC 5322), and if a tool does not like
#   it, it says so.
# Seen: catkin_pkg refuses the address, and with it the whole package.xml. colcon says nothing below
#   its debug level: it goes on with what setup.py holds, as a plain Python package. Dependencies,
#   build type and the order of building are gone; the build succeeds.
# Output seen:
#   maintainer@example.com  depends on scan_msgs: yes  type ros.ament_python
#   d'arc@example.com       depends on scan_msgs: no   type python
#   standard error of colcon list: 0 bytes
# Why it matters: a workspace builds its packages in the wrong order, or a rebuild of messages does
#   not reach the node that uses them, for a character in somebody's name. `colcon list` shows it:
#   (python) instead of (ros.ament_python).
# Issue: https://github.com/ros-infrastructure/catkin_pkg/issues/49 (another such address)
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet colcon-core==0.21.3 colcon-ros==0.5.0 catkin_pkg==1.1.1 \
    colcon-recursive-crawl==0.2.3 colcon-python-setup-py==0.2.9 colcon-package-information==0.4.1 \
    colcon-package-selection==0.2.10 \
    setuptools==79.0.1
export PATH="$work/venv/bin:$PATH"

package() { # NAME EMAIL DEPENDENCY
    mkdir -p "$work/ws/src/$1/$1"
    touch "$work/ws/src/$1/$1/__init__.py"
    cat > "$work/ws/src/$1/setup.py" << PYTHON
from setuptools import setup

setup(name="$1", version="0.1.0", packages=["$1"])
PYTHON
    cat > "$work/ws/src/$1/package.xml" << XML
<?xml version="1.0"?>
<package format="3">
  <name>$1</name>
  <version>0.1.0</version>
  <description>A package</description>
  <maintainer email="$2">Maintainer</maintainer>
  <license>MIT</license>
  $3
  <export><build_type>ament_python</build_type></export>
</package>
XML
}

seen() { # EMAIL: whether colcon knows the dependency, and of which type the package is for it
    package a_node "$1" '<depend>scan_msgs</depend>'
    local above depends=no
    above=$(cd "$work/ws" && colcon list --names-only --packages-above scan_msgs 2>> "$work/stderr")
    if grep -q a_node <<< "$above"; then depends=yes; fi
    echo "depends on scan_msgs: $depends, type $(cd "$work/ws" &&
        colcon list --packages-select a_node 2>> "$work/stderr" | sed 's/.*(\(.*\))/\1/')"
}

package scan_msgs maintainer@example.com ''
: > "$work/stderr"
usual=$(seen maintainer@example.com)
echo "maintainer@example.com  $usual"
apostrophe=$(seen "d'arc@example.com")
echo "d'arc@example.com       $apostrophe"
said=$(wc -c < "$work/stderr")
echo "standard error of colcon list: $said bytes"
[ "$usual" = "depends on scan_msgs: yes, type ros.ament_python" ] &&
    [ "$apostrophe" = "depends on scan_msgs: no, type python" ] && [ "$said" -eq 0 ]
