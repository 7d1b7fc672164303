#!/usr/bin/env bash
# small_gicp reports success for two clouds that have no point in common.
#
# Package: small-gicp 1.0.1
# Expected: a registration without a single pair of near points fails: converged is False, or the
#   error is large.
# Seen: converged is True, the error is 0 (the best there is), the transform is the guess that went
#   in, unchanged, and only num_inliers says 0. So for all four kinds of registration.
# Output seen:
#   GICP       overlap: converged True, inliers 16545, error 991.4    1 km apart: True, 0, 0.0
#   ICP        overlap: converged True, inliers 16545, error 95.9     1 km apart: True, 0, 0.0
#   PLANE_ICP  overlap: converged True, inliers 16545, error 30.6     1 km apart: True, 0, 0.0
#   VGICP      overlap: converged True, inliers 16509, error 1839.7   1 km apart: True, 0, 0.0
# Why it matters: code that takes a loop closure or a start pose when `converged` is set, or keeps
#   the candidate with the smallest error, prefers a candidate without any overlap to a real one.
#   Ask num_inliers first, and divide the error by it.
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet small-gicp==1.0.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import small_gicp

target = np.random.default_rng(0).uniform([-20, -20, -2], [20, 20, 2], (20000, 3))
near = target - [0.3, 0.1, 0.0]
far = near + np.array([1000.0, 0.0, 0.0])
guess = np.eye(4)
guess[1, 3] = 0.5
as_described = True
for kind in ("GICP", "ICP", "PLANE_ICP", "VGICP"):
    good = small_gicp.align(target, near, registration_type=kind, downsampling_resolution=0.5)
    none = small_gicp.align(target, far, guess, registration_type=kind, downsampling_resolution=0.5)
    print(
        f"{kind:10} overlap: converged {good.converged}, inliers {good.num_inliers}, "
        f"error {good.error:<8.1f} 1 km apart: {none.converged}, {none.num_inliers}, {none.error}"
    )
    as_described &= good.converged and good.num_inliers > 10000 and good.error > 1.0
    as_described &= none.converged and none.num_inliers == 0 and none.error == 0.0
    as_described &= np.array_equal(none.T_target_source, guess)
sys.exit(0 if as_described else 1)
PYTHON
