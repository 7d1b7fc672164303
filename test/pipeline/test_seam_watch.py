"""Where sweeps begin."""

import numpy as np
import pytest

from kdmos_ros.pipeline.seam_watch import SeamWatch


@pytest.mark.parametrize(
    ("starts_deg", "wanders"),
    [
        ([], False),
        ([178, -179, 177, -176], False),
        ([10, 12, 8, 11], False),
        ([0, 4, 8, 12], True),
        ([170, -175], True),
        ([0, 15, 0, 0], True),
    ],
)
def test_a_seam_wanders_once_it_was_seen_elsewhere(starts_deg, wanders):
    watch = SeamWatch()
    for start in np.radians(starts_deg):
        watch.add(float(start))
    assert watch.wanders == wanders
