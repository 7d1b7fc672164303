"""The motion map: only what was written is handed over, and nothing stays behind."""

import numpy as np

from kdmos_ros.features.motion_map import MotionMap


def test_rows_that_were_written_and_no_others():
    motion = MotionMap(5, 3)
    motion.values[3], motion.values[1, 2] = (1, 2, 3), 4
    motion.touched[[1, 3, 4]] = True
    rows, row = motion.take()
    np.testing.assert_array_equal(rows, [[0, 0, 0], [0, 0, 4], [1, 2, 3], [0, 0, 0]])
    np.testing.assert_array_equal(row, [0, 1, 0, 2, 3])
    assert rows.dtype == np.float32 and row.dtype == np.int64
    assert not motion.values.any() and not motion.touched.any()
    rows, row = motion.take()
    assert rows.shape == (1, 3) and not rows.any() and not row.any()
