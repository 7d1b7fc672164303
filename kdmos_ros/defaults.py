"""Defaults and choices that the node's parameters, the commands and the engine share.

Light to import: the command line's help needs them, and importing the engine takes a second.
"""

from __future__ import annotations

from typing import Any

AUTO = "auto"
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""What a place to run networks is called, and ONNX Runtime's name for it."""
PROVIDER_CHOICES = (AUTO, *PROVIDERS)
PRECISIONS = ("fp32", "fp16", "int8")
"""Precisions that a model may have graphs in, the one that all have first."""
PRECISION_CHOICES = (AUTO, *PRECISIONS)
POSE_SOURCES = (AUTO, "odometry", "tf", "kiss_icp")
FIXED_FRAMES = ("odom", "odom_lidar", "odom_combined", "camera_init", "world", "map")
"""What odometry packages call the frame that the robot moves in, continuous ones first; those after
the first are looked for where the user names none."""
RELIABILITIES = ("best_effort", "reliable")
TIME_UNITS = (AUTO, "s", "ms", "us", "ns")
TIME_BASES = (AUTO, "absolute", "stamp", "start", "middle", "end")
DESKEW_CHOICES = (AUTO, "true", "false")
"""Whether clouds are deskewed; see `pointcloud/deskew_mode.py`."""
MAX_LOOKAHEAD = 7
"""How many later scans a scan may be compared with."""

CLOUD_OPTIONS: dict[str, Any] = {
    "cloud_frame": "",
    "intensity_field": "",
    "intensity_scale": 0.0,
    "max_points": 2_000_000,
    "min_range": 0.0,
    "max_range": 0.0,
    "deskew": AUTO,
    "time_field": "",
    "time_unit": AUTO,
    "time_base": AUTO,
}
"""The parameters that say how clouds are read."""

PARAMETERS: dict[str, Any] = {
    "autostart": True,
    "model": "",
    "provider": AUTO,
    "provider_options": "",
    "precision": AUTO,
    "lookahead": 0,
    "footprint": AUTO,
    "num_threads": 0,
    "pose_source": POSE_SOURCES[0],
    "fixed_frame": FIXED_FRAMES[0],
    "base_frame": "base_link",
    "base_to_lidar": "",
    "cloud_reliability": "best_effort",
    "cloud_depth": 5,
    "odom_reliability": "best_effort",
    "output_reliability": "reliable",
    "output_depth": 5,
    "queue_size": 1,
    "pose_timeout": 0.2,
    "pose_history": 30.0,
    "pose_max_gap": 0.5,
    "pose_max_jump": 1.0,
    **CLOUD_OPTIONS,
    "expected_rate": 0.0,
    "late_after": 0.3,
    "diagnostics_period": 1.0,
}
"""Every parameter of the node; `ros/parameter_table.py` says what they mean."""

MAP_VOXEL_M = 0.2
"""Edge of the voxels of a static map, metres."""


def frames_to_try(fixed_frame: str) -> tuple[str, ...]:
    """Where the pose source is found out: FIXED_FRAMES, or the one that the user has named."""
    return FIXED_FRAMES if fixed_frame == FIXED_FRAMES[0] else (fixed_frame,)
