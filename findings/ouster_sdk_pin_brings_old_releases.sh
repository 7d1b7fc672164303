#!/usr/bin/env bash
# Asking for ouster-sdk beside a current rosbags installs old releases of it and of KISS-ICP.
#
# Package: ouster-sdk 1.0.1, rosbags 0.11.9
# Expected: pip installs the newest ouster-sdk, or says that the two do not go together.
# Seen: ouster-sdk 1.0.1 requires rosbags of exactly 0.9.23. Named with its version, the two are
#   refused. Named without, pip goes back quietly to ouster-sdk 0.12.0, which has no such pin, but
#   brings kiss-icp 0.4.0.
# Output seen:
#   ouster-sdk==1.0.1 rosbags==0.11.9: refused
#   ouster-sdk<=1.0.1 rosbags==0.11.9: ouster-sdk 0.12.0, kiss-icp 0.4.0, rosbags 0.11.9
# Why it matters: a requirements file that lists a LiDAR driver, a bag library and an odometry gets
#   a driver and an odometry from before their version 1, with other APIs; nothing warns. The other
#   way round, adding ouster-sdk to a working environment takes its rosbags back to 0.9. Keep
#   drivers in an environment of their own, and give lower bounds.
#
# Exit status: 0 as described, 1 changed. Installs nothing: pip only says what it would do.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pip==26.3
would() { "$work/venv/bin/pip" install --quiet --dry-run --report "$work/report.json" "$@"; }

if would ouster-sdk==1.0.1 rosbags==0.11.9 2> "$work/refusal"; then
    echo "ouster-sdk==1.0.1 rosbags==0.11.9: accepted"
    exit 1
fi
grep -q ResolutionImpossible "$work/refusal"
echo "ouster-sdk==1.0.1 rosbags==0.11.9: refused"
would 'ouster-sdk<=1.0.1' rosbags==0.11.9
"$work/venv/bin/python" - "$work/report.json" <<'PYTHON'
import json
import sys
from pathlib import Path

report = json.loads(Path(sys.argv[1]).read_text())
names = ("ouster-sdk", "kiss-icp", "rosbags")
found = {p["metadata"]["name"]: p["metadata"]["version"] for p in report["install"]}
found = {name.replace("_", "-"): version for name, version in found.items()}
print(
    "ouster-sdk<=1.0.1 rosbags==0.11.9:",
    ", ".join(f"{name} {found.get(name, 'not at all')}" for name in names),
)
as_described = found["ouster-sdk"].startswith("0.") and found.get("kiss-icp") == "0.4.0"
sys.exit(0 if as_described else 1)
PYTHON
