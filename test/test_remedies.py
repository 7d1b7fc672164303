"""The catalogue of what can go wrong names what the code raises and counts, no more and no less."""

import ast
from pathlib import Path

import kdmos_ros
from kdmos_ros.health.complaints import CHECKS
from kdmos_ros.remedies import DROPS, EVENTS, HEALTH, POSE_DROPS

CODE = [
    ast.parse(path.read_text()) for path in sorted(Path(kdmos_ros.__file__).parent.rglob("*.py"))
]


def first_words(*callees):
    """The first argument of every call of one of these names, where it is a plain string."""
    found = set()
    for node in (n for tree in CODE for n in ast.walk(tree)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in callees and isinstance(node.args[0], ast.Constant):
            found.add(node.args[0].value)
    return found


def test_every_reason_of_a_missing_pose():
    assert first_words("PoseError") == set(POSE_DROPS)


def test_every_other_reason_of_a_drop():
    raised = first_words("DroppedScan", "CloudError", "ExtrinsicError")
    counted = first_words("dropped") | {"queue_full", "superseded"}
    assert raised | counted == set(DROPS)


def test_every_event():
    assert first_words("event") == set(EVENTS)


def test_every_complaint():
    assert set(CHECKS) | first_words("Complaint") == set(HEALTH)
