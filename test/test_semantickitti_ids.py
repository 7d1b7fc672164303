"""Object kinds as SemanticKITTI ids and back."""

import numpy as np
import pytest

from kdmos_ros.io.drive_bag import pack_labels
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED, from_semantickitti
from kdmos_ros.object_kinds import FIRST_PARTICIPANT, Kind
from kdmos_ros.semantickitti_ids import UNKNOWN_KIND, kind_name, kinds_of


@pytest.mark.parametrize("kind", [k for k in Kind if k >= FIRST_PARTICIPANT])
@pytest.mark.parametrize("label", [UNLABELLED, MOVABLE, MOVING])
def test_a_participant_reads_back(kind, label):
    raw = pack_labels(np.uint8([label]), np.int32([7]), np.uint8([kind]))
    assert from_semantickitti(raw).tolist() == [label]
    assert raw[0] >> 16 == 7
    expected = Kind.CAR if kind == Kind.VAN else kind
    assert kinds_of(raw).tolist() == [UNKNOWN_KIND if label == UNLABELLED else expected]


@pytest.mark.parametrize("kind", [k for k in Kind if Kind.NOISE < k < FIRST_PARTICIPANT])
def test_scenery_reads_back(kind):
    raw = pack_labels(np.uint8([STATIC]), None, np.uint8([kind]))
    assert from_semantickitti(raw).tolist() == [STATIC] and kinds_of(raw).tolist() == [kind]


def test_ids_of_the_benchmark_tell_no_kind():
    assert kinds_of(np.uint32([0, 1, 9, 250, 251, 65535])).tolist() == [UNKNOWN_KIND] * 6


@pytest.mark.parametrize(
    ("number", "name"),
    [(252, "car"), (254, "pedestrian"), (31, "bicycle"), (253, "bicycle"), (32, "motorcycle"),
     (255, "motorcycle"), (70, "vegetation"), (259, "truck"), (60, "road"), (0, "unknown")],
)  # fmt: skip
def test_names(number, name):
    assert kind_name(int(kinds_of(np.uint32([number | 5 << 16]))[0])) == name


def test_all_that_is_labelled_and_no_road_user_is_static():
    assert from_semantickitti(np.uint32([0, 1, 2, 9, 52])).tolist() == [0, 1, 1, 1, 1]
