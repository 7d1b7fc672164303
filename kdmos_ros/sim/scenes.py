"""The scene generators by name."""

from __future__ import annotations

from collections.abc import Callable

from kdmos_ros.sim.scene_crossing import crossing
from kdmos_ros.sim.scene_hall import hall
from kdmos_ros.sim.scene_open import car_park, field
from kdmos_ros.sim.scene_pavement import pavement
from kdmos_ros.sim.scene_queue import queue
from kdmos_ros.sim.scene_street import street
from kdmos_ros.sim.staging import Stage
from kdmos_ros.sim.world import Plan

SCENES: dict[str, Callable[[Stage], Plan]] = {
    "street": street,
    "crossing": crossing,
    "car_park": car_park,
    "field": field,
    "pavement": pavement,
    "queue": queue,
    "hall": hall,
}
# How often each is drawn when none is asked for. Later scenes come when they are asked for, so that
# drives which were drawn before stay what they were.
SHARES = (0.52, 0.26, 0.1, 0.12, 0.0, 0.0, 0.0)
