"""The compiled median is numpy's."""

import numpy as np
import pytest

from kdmos_ros.geometry.median import median


@pytest.mark.parametrize("n", [*range(1, 12), 100, 1001])
@pytest.mark.parametrize("alike", [False, True])
def test_median(n, alike):
    rng = np.random.default_rng(n)
    for _ in range(20):
        values = rng.normal(size=n)
        if alike:
            values = np.round(values)
        assert median(values.copy()) == np.median(values)
