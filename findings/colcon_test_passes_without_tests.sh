#!/usr/bin/env bash
# colcon test passes a Python package whose test fails, because it never runs it.
#
# Package: colcon-core 0.21.3, colcon-ros 0.5.0, pytest 7.4.4
# Expected: colcon test runs test/test_*.py of an ament_python package, and fails when one fails.
# Seen: unless setup.py names pytest among its test requirements, colcon takes unittest, which finds
#   no pytest function: "Ran 0 tests", and both colcon test and colcon test-result exit with 0. A
#   pytest that is installed and a <test_depend> on it in package.xml make no difference. From
#   Python 3.12 on (Ubuntu 24.04), unittest complains and colcon test exits with 5; colcon
#   test-result, which CI usually asks, still with 0.
# Output seen:
#   (with Python 3.11)
#   pytest not named in setup.py:  0 tests, 0 errors, 0 failures, test exits 0, test-result exits 0
#   extras_require names it:       1 test, 0 errors, 1 failure, test exits 0, test-result exits 1
# Why it matters: CI of a node stays green over broken tests, for as long as nobody reads the count.
#   Name pytest in setup.py (extras_require={"test": ["pytest"]}), and let CI check that the number
#   of tests is not 0.
# Issue: https://github.com/colcon/colcon-core/issues/678
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet colcon-core==0.21.3 colcon-ros==0.5.0 \
    colcon-test-result==0.3.8 colcon-recursive-crawl==0.2.3 \
    colcon-python-setup-py==0.2.9 setuptools==79.0.1 pytest==7.4.4
export PATH="$work/venv/bin:$PATH"
unset AMENT_PREFIX_PATH PYTHONPATH

package="$work/ws/src/scan_counter"
mkdir -p "$package/scan_counter" "$package/test" "$package/resource"
touch "$package/scan_counter/__init__.py" "$package/resource/scan_counter"
cat > "$package/package.xml" <<'XML'
<?xml version="1.0"?>
<package format="3">
  <name>scan_counter</name>
  <version>0.1.0</version>
  <description>Counts scans</description>
  <maintainer email="maintainer@example.com">Maintainer</maintainer>
  <license>MIT</license>
  <test_depend>python3-pytest</test_depend>
  <export><build_type>ament_python</build_type></export>
</package>
XML
cat > "$package/test/test_count.py" <<'PYTHON'
def test_count():
    assert 1 == 2, "this test fails"
PYTHON

tests() { # LINE: what colcon says of the package whose setup.py has this line
    cat > "$package/setup.py" << PYTHON
from setuptools import setup

setup(
    name="scan_counter",
    version="0.1.0",
    packages=["scan_counter"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/scan_counter"]),
        ("share/scan_counter", ["package.xml"]),
    ],
    $1
)
PYTHON
    rm -rf "$work/ws/build" "$work/ws/install" "$work/ws/log"
    (
        cd "$work/ws"
        colcon build > colcon.log 2>&1
        tested=0
        colcon test >> colcon.log 2>&1 || tested=$?
        code=0
        result=$(colcon test-result) || code=$?
        echo "$result" | sed -n 's/^Summary: \(.*\), 0 skipped/\1/p' | tr -d '\n'
        echo ", test exits $tested, test-result exits $code"
    )
}

plain=$(tests "")
echo "pytest not named in setup.py:  $plain"
named=$(tests 'extras_require={"test": ["pytest"]},')
echo "extras_require names it:       $named"
# unittest complains of no tests from Python 3.12 on.
silent=$(python -c 'import sys; print(0 if sys.version_info < (3, 12) else 5)')
[[ "$plain" == "0 tests, "*"test exits $silent, test-result exits 0" ]] &&
    [[ "$named" == "1 test, 0 errors, 1 failure, "*"test-result exits 1" ]]
