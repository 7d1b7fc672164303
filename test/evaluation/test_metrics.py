"""The figures of the benchmark, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluation.bag_evaluation import Report, evaluate_bag, latency_table
from kdmos_ros.evaluation.metrics import ConfusionAccumulator, Latency, percentiles
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.pipeline.replay import ReplayedScan


def raw(*labels: int) -> np.ndarray:
    return np.array(labels, np.uint32)


def classes(*labels: int) -> np.ndarray:
    return np.array(labels, np.uint8)


def test_counts_by_hand():
    c = ConfusionAccumulator()
    c.add(
        raw(251, 259, 252, 9, 250, 10, 40, 0, 0),
        classes(MOVING, MOVING, STATIC, MOVING, MOVABLE, STATIC, UNLABELLED, MOVING, STATIC),
    )
    assert (c.tp, c.fp, c.fn, c.tn, c.ignored) == (2, 1, 1, 3, 2)
    assert c.iou == 0.5 and c.precision == 2 / 3 and c.recall == 2 / 3
    assert c.false_positive_share == 0.25


def test_one_matrix_over_all_scans():
    c = ConfusionAccumulator()
    c.add(raw(251, 251, 251, 251), classes(MOVING, MOVING, MOVING, MOVING))
    c.add(raw(251, 9), classes(STATIC, MOVING))
    assert c.iou == 4 / 6, "not the mean of 1 and 0"


def test_unlabelled_prediction_of_a_moving_point_is_a_miss():
    c = ConfusionAccumulator()
    c.add(raw(251), classes(UNLABELLED))
    assert (c.fn, c.iou) == (1, 0.0)


def test_instance_in_the_upper_bits_is_ignored():
    c = ConfusionAccumulator()
    c.add(raw(251 | 5 << 16, 9 | 251 << 16, 0 | 251 << 16), classes(MOVING, STATIC, MOVING))
    assert (c.tp, c.tn, c.ignored) == (1, 1, 1)


def test_ids_around_the_moving_range():
    c = ConfusionAccumulator()
    c.add(raw(250, 251, 259, 260), classes(*[MOVING] * 4))
    assert (c.tp, c.fp) == (2, 2)


@pytest.mark.parametrize("predicted", [STATIC, MOVING])
def test_nothing_moves(predicted):
    c = ConfusionAccumulator()
    c.add(raw(9, 9), classes(STATIC, predicted))
    assert c.iou is None and c.precision is None and c.recall is None
    assert c.false_positive_share == (0.5 if predicted == MOVING else 0.0)


def test_nothing_at_all():
    c = ConfusionAccumulator()
    assert c.iou is None and c.false_positive_share is None and c.labelled == 0


def test_other_length():
    with pytest.raises(ValueError, match="2"):
        ConfusionAccumulator().add(raw(9), classes(STATIC, STATIC))


@given(st.lists(st.tuples(st.sampled_from([0, 9, 250, 251, 255]), st.integers(0, 3)), max_size=40))
def test_parts_add_up(rows):
    truth, predicted = raw(*[r[0] for r in rows]), classes(*[r[1] for r in rows])
    near = np.arange(len(rows)) % 3 == 0
    whole, part, rest = ConfusionAccumulator(), ConfusionAccumulator(), ConfusionAccumulator()
    whole.add(truth, predicted)
    part.add(truth, predicted, near)
    rest.add(truth, predicted, ~near)
    part.merge(rest)
    assert part == whole
    assert whole.labelled + whole.ignored == len(rows)


def test_percentiles():
    assert percentiles([]) is None
    assert percentiles([3.0]) == {"p50": 3.0, "p90": 3.0, "p99": 3.0}
    assert percentiles(range(101)) == {"p50": 50.0, "p90": 90.0, "p99": 99.0}


def test_latency_keeps_the_total_apart():
    latency = Latency()
    latency.add({"decode": 1.0, "bev": 5.0, "total": 7.0})
    latency.add({"decode": 3.0, "bev": 5.0, "total": 9.0})
    assert list(latency.stages()) == ["decode", "bev"]
    assert latency.stages()["decode"]["p50"] == 2.0 and latency.total()["p50"] == 8.0
    assert "decode" in latency_table(latency) and "total" in latency_table(latency)


class Labels:
    def __init__(self, *scans):
        self.scans = scans

    def read(self, index, stamp_ns, n_points):
        return self.scans[index]


def labelled(index: int, *predicted: int) -> ReplayedScan:
    labels = classes(*predicted)
    return ReplayedScan(index, index, len(labels), labels=labels, timings_ms={"total": 4.0})


def test_dropped_scans_are_counted_and_not_scored():
    replayed = [ReplayedScan(0, 0, 2, dropped="too_old"), labelled(1, MOVING, STATIC)]
    seen = []
    report = evaluate_bag(
        replayed, Labels(raw(251, 251), raw(251, 9)), Report("m", "p"), seen.append
    )
    content = report.to_dict()
    assert content["iou_moving"] == 1.0 and content["scans"] == 1 and content["points"] == 2
    assert content["dropped"] == {"too_old": 1} and content["lookahead"] == 0
    second, third = report.to_text().splitlines()[1:3]
    assert second == "scans dropped, and not in the figures: 1 of 2 (1 too_old)"
    assert third.startswith("moving IoU")
    assert content["latency_ms"]["p90"] == 4.0
    assert seen == [replayed[1]]
    assert "1 too_old" in report.to_text()


def test_undefined_iou_is_null_and_printed_as_such():
    report = evaluate_bag([labelled(0, MOVING, STATIC)], Labels(raw(9, 9)), Report("m", "p"))
    assert report.to_dict()["iou_moving"] is None
    assert report.to_dict()["false_positive_share"] == 0.5
    assert "moving IoU n/a" in report.to_text()


def test_no_scan_labelled_is_an_error():
    with pytest.raises(KdmosError, match="1 gap"):
        evaluate_bag([ReplayedScan(0, 0, 1, dropped="gap")], Labels(raw(9)), Report("m", "p"))
