"""The table of the node's parameters, from which they are declared, checked and documented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
)

from kdmos_ros import defaults
from kdmos_ros.features.own_body import parse_footprint
from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.pointcloud.deskew_mode import deskew_mode


@dataclass(frozen=True)
class Spec:
    """One parameter.

    Attributes:
        low, high: range of a number, ends included.
        choices: allowed texts; () allows all.
        live: whether it may change while the node is configured.
        check: raises ValueError with the reason for a bad value.
        check_live: raises KdmosError likewise, for a change while the node is configured.
        any_type: the value may be of several types; `check` sorts them out.
    """

    name: str
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    check: Callable[[Any], Any] | None = None
    any_type: bool = False
    check_live: Callable[[Any], Any] | None = None

    @property
    def default(self) -> Any:
        """Its value unless one is given, from `kdmos_ros.defaults`."""
        return defaults.PARAMETERS[self.name]

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows, and what rclpy checks."""
        descriptor = ParameterDescriptor(description=self.description)
        descriptor.dynamic_typing = self.any_type
        if self.choices:
            descriptor.additional_constraints = f"one of: {', '.join(self.choices)}"
        if not self.live:
            rule = "changes only while the node is unconfigured"
            parts = [descriptor.additional_constraints, rule]
            descriptor.additional_constraints = "; ".join(filter(None, parts))
        if self.low is None or self.high is None:
            return descriptor
        if isinstance(self.default, float):
            bounds = FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
            descriptor.floating_point_range = [bounds]
        else:
            bounds = IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
            descriptor.integer_range = [bounds]
        return descriptor

    def complaint(self, value: Any) -> str | None:
        """Why a value of the right type is refused, naming the parameter; None if it is fine."""
        if self.choices and value not in self.choices:
            return f"parameter '{self.name}' must be one of {', '.join(self.choices)}: '{value}'"
        if self.check:
            try:
                self.check(value)
            except ValueError as error:
                return f"parameter '{self.name}': {error}"
        return None


def check_model(name: str) -> None:
    """Look whether a model is there and undamaged; its graphs are not loaded.

    Raises:
        KdmosError: it is not.
    """
    from kdmos_ros.inference.model import DEFAULT_MODEL, find_model, load_spec

    load_spec(find_model(name or DEFAULT_MODEL))


SPECS = (
    Spec("autostart", "Configure and activate at start; false leaves it to a manager."),
    Spec(
        "model",
        "Folder of the model, or the name of a shipped one; empty: the default. A new one is "
        "loaded in the background; the old one stays in use until then, or if loading fails.",
        live=True, check_live=check_model,
    ),
    Spec(
        "provider",
        "Where the networks run. auto: CUDA if it works, then OpenVINO if installed, then the "
        "CPU.",
        choices=defaults.PROVIDER_CHOICES, live=True,
    ),
    Spec(
        "provider_options",
        "Options of the provider, as device=1,cuda_graphs=on: device, binding, cuda_graphs, cache; "
        "see docs/providers.md.",
        live=True,
    ),
    Spec(
        "precision",
        "Precision of the grid network. auto: the fastest that the model has for the "
        "provider: int8 with OpenVINO, fp16 on GPUs, fp32 on the CPU.",
        choices=defaults.PRECISION_CHOICES, live=True,
    ),
    Spec(
        "lookahead",
        "How many later clouds each cloud waits for, if the model can use them. It is published "
        "that many clouds late, with its own stamp. 0: at once.",
        0, defaults.MAX_LOOKAHEAD, live=True,
    ),
    Spec(
        "footprint",
        "Outline of the vehicle in base_frame, metres: 'x_min, x_max, y_min, y_max'. Points inside "
        "are never called moving. auto: learned from what travels with the LiDAR, within 2.5 m of "
        "it; none: there is no such part.",
        live=True, check=parse_footprint,
    ),
    Spec(
        "num_threads", "Threads on the CPU; 0: all cores that the process may use.",
        0, 256, live=True,
    ),
    Spec(
        "pose_source",
        "Where poses come from. odometry: a topic; tf: fixed_frame to the cloud's frame; kiss_icp: "
        "the clouds alone; auto: the first of these that has poses, chosen once: odometry if any "
        "comes within 5 s of the first cloud.",
        choices=defaults.POSE_SOURCES,
    ),
    Spec("fixed_frame", "Frame with continuous odometry, for poses from TF."),
    Spec(
        "base_frame",
        "Frame on the ground below the LiDAR. With odometry it is that topic's child frame, unless "
        "that is the LiDAR itself.",
    ),
    Spec(
        "base_to_lidar",
        "Pose of the LiDAR in the base frame: 'x y z', 'x y z roll pitch yaw' (m, rad) "
        "or 'x y z qx qy qz qw', as text or list. Empty: taken from TF.",
        check=parse_transform, any_type=True,
    ),
    Spec(
        "cloud_reliability",
        "QoS of the cloud subscription. reliable receives nothing from a best-effort driver.",
        choices=defaults.RELIABILITIES,
    ),
    Spec("cloud_depth", "QoS history depth of the cloud subscription.", 1, 1000),
    Spec(
        "odom_reliability",
        "QoS of the odometry subscription. reliable receives nothing from a best-effort source.",
        choices=defaults.RELIABILITIES,
    ),
    Spec(
        "output_reliability",
        "QoS of the published clouds. reliable serves both kinds of subscribers.",
        choices=defaults.RELIABILITIES,
    ),
    Spec("output_depth", "QoS history depth of the published clouds.", 1, 1000),
    Spec(
        "queue_size",
        "Clouds that may wait. 1: the newest wins (live use); more: processing a bag without "
        "loss. What does not fit is counted as dropped, oldest first.",
        1, 100_000, live=True,
    ),
    Spec(
        "pose_timeout", "Longest wait for the pose at a cloud's stamp, seconds.",
        0.0, 60.0, live=True,
    ),
    Spec(
        "pose_history", "How long poses are kept for clouds that come late, seconds.",
        0.1, 3600.0, live=True,
    ),
    Spec("pose_max_gap", "Widest gap in the odometry to interpolate in, seconds.", 0.01, 10.0,
         live=True),
    Spec(
        "pose_max_jump",
        "Sudden change of the pose that clears the history (relocalisation, loop closure), "
        "metres; a turn by 6 degrees does too. 0: never.",
        0.0, 1000.0, live=True,
    ),
    Spec(
        "intensity_field",
        "Field that holds the intensity; empty: intensity, reflectivity or i.",
        live=True,
    ),
    Spec(
        "intensity_scale",
        "Raw intensity that counts as 1. 0: floats are 0..1 already, integers 0..255.",
        0.0, 1e6, live=True,
    ),
    Spec(
        "min_range", "Points nearer than this count as no return (the robot itself), metres.",
        0.0, 1000.0, live=True,
    ),
    Spec(
        "max_range", "Points farther than this count as no return, metres; 0: no limit.",
        0.0, 10_000.0, live=True,
    ),
    Spec(
        "deskew",
        "Move each point to where it would have been seen at the cloud's stamp, by its own time "
        "and the poses during the sweep. Published clouds keep the points as they came. auto: "
        "where the cloud has usable times, or the order of its points tells them, unless its "
        "sweeps show that it is deskewed already; true: a cloud without times is dropped; false: "
        "never.",
        live=True, check=deskew_mode, any_type=True,
    ),
    Spec(
        "time_field",
        "Field with the time of a point; empty: t, time, timestamp, time_stamp or offset_time.",
        live=True,
    ),
    Spec(
        "time_unit",
        "Unit of that field. auto: integers are nanoseconds, floats seconds.",
        choices=defaults.TIME_UNITS, live=True,
    ),
    Spec(
        "time_base",
        "What that field counts from. stamp: the cloud's stamp; absolute: the epoch of the stamp; "
        "start, middle, end: only differences count, and the stamp marks that part of the sweep. "
        "auto: absolute or stamp.",
        choices=defaults.TIME_BASES, live=True,
    ),
    Spec(
        "cloud_frame",
        "Clouds in another frame are dropped. Empty: the frame of the first cloud.",
        live=True,
    ),
    Spec("max_points", "Clouds with more points than this are refused.",
         1, 100_000_000, live=True),
    Spec(
        "expected_rate",
        "Rate of the LiDAR in Hz, used to notice lost clouds. 0: learned from the stamps.",
        0.0, 1000.0, live=True,
    ),
    Spec(
        "late_after",
        "A cloud that is published this long after its arrival counts as late, seconds.",
        0.001, 3600.0, live=True,
    ),
    Spec("diagnostics_period", "Time between two messages on /diagnostics, seconds.",
         0.05, 60.0, live=True),
)  # fmt: skip
