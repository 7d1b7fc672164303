"""What is counted and complained about: what it means, and what to do. docs/troubles.md shows it.

A test compares the names here with those in the code, so that none is missing.
"""

from __future__ import annotations

from typing import NamedTuple


class Remedy(NamedTuple):
    """One line each."""

    cause: str
    remedy: str


POSE_DROPS = {
    "empty": Remedy("No pose has come yet.", "Check `odom`, and that its publisher runs."),
    "timeout": Remedy(
        "No pose for the stamp came within `pose_timeout`.",
        "Raise `pose_timeout` if the odometry is slow; compare the clocks of LiDAR and odometry.",
    ),
    "too_new": Remedy(
        "The cloud is newer than every pose.",
        "As for `timeout`. In a recording, the odometry ends before the clouds.",
    ),
    "too_old": Remedy(
        "The cloud is older than every pose that is kept.",
        "Compare the clocks. In a recording, the clouds begin before the odometry: nothing is lost "
        "but these.",
    ),
    "gap": Remedy(
        "Two poses around the stamp are too far apart in time.",
        "Raise `max_pose_gap` if the odometry is as slow as that; else find what it lost.",
    ),
    "jump": Remedy(
        "The poses jumped or restarted during the sweep.",
        "Use odometry that is continuous (`odom`, not `map`), or raise `max_pose_jump`.",
    ),
    "of_registered_cloud": Remedy(
        "The clouds are in the odometry's fixed frame already.",
        "Give the driver's cloud, in the LiDAR's frame.",
    ),
    "no_stamp": Remedy("The cloud's stamp is 0.", "Let the driver stamp its clouds."),
    "unknown_frame": Remedy(
        "No transform of the recording knows the frame.",
        "Name another (`--base-frame`, `--odom-frame`), or record `/tf` and `/tf_static`.",
    ),
    "not_connected": Remedy(
        "The recorded transforms do not lead from the one frame to the other.",
        "Record `/tf` and `/tf_static` in full, or give `base_to_lidar`.",
    ),
    "too_few_points": Remedy(
        "KISS-ICP cannot register so few points.", "Check the cloud, `min_range` and `max_range`."
    ),
    "out_of_order": Remedy(
        "KISS-ICP takes clouds in the order of their stamps, and this one came late.",
        "Nothing, if it is rare; else check the driver's stamps.",
    ),
    "failed": Remedy("KISS-ICP gave up on the cloud.", "Read `last_error`; use odometry instead."),
}
"""Reasons of a missing pose. A counter's name begins with the source: `pose_`, `tf_` or `kiss_`."""

DROPS = {
    "superseded": Remedy(
        "A newer cloud came before this one's turn (`queue_size` is 1).",
        "The machine is too slow for this rate: a smaller model, more threads, a GPU, or accept "
        "it.",
    ),
    "queue_full": Remedy(
        "More than `queue_size` clouds wait.", "As for `superseded`, or a longer queue."
    ),
    "deactivated": Remedy("The node was deactivated before the cloud's turn.", "Nothing."),
    "internal_error": Remedy(
        "Something that we did not foresee.", "Report it, with the traceback in the log."
    ),
    "repeated_stamp": Remedy(
        "The cloud has the stamp of the one before it.", "Let the driver stamp its clouds."
    ),
    "out_of_order": Remedy(
        "The cloud is older than the last one.", "Nothing, if it is rare; else check the driver."
    ),
    "other_frame": Remedy(
        "Clouds of two frames share a topic.",
        "Choose one by `cloud_frame`, or run a node for each.",
    ),
    "no_extrinsic": Remedy(
        "The mount of the LiDAR is unknown.",
        "Publish it on `/tf_static`, or set `base_to_lidar`.",
    ),
    "no_point_time": Remedy(
        "`deskew` is true, and the cloud has no time of each point.",
        "Name the field by `time_field`, or leave `deskew` at auto.",
    ),
    "bad_point_time": Remedy(
        "The times of the points cannot be those of a sweep.",
        "Set `time_unit` and `time_base`, or leave `deskew` at auto.",
    ),
    "too_many_points": Remedy("The cloud has more than `max_points`.", "Raise `max_points`."),
    "bad_custom_message": Remedy(
        "A Livox CustomMsg cannot be read.", "The log says what is wrong with it."
    ),
    "missing_xyz": Remedy("The cloud has no fields x, y and z.", "Check the topic and the driver."),
    "bad_datatype": Remedy(
        "x, y or z is neither float32 nor float64.", "Convert the cloud, or change the driver."
    ),
    "bad_point_step": Remedy(
        "A field lies outside the bytes of a point.", "Report it to the driver's makers."
    ),
    "bad_row_step": Remedy(
        "The rows are shorter than their points.", "Report it to the driver's makers."
    ),
    "short_data": Remedy(
        "The message has fewer bytes than it says.", "Report it to the driver's makers."
    ),
}
"""Reasons why a cloud gets no labels, beside those of poses."""

EVENTS = {
    "reset": Remedy(
        "The history was cleared; the log says why.",
        "Nothing, if it is rare: labels begin anew after 0.2 s.",
    ),
    "empty_cloud": Remedy("A cloud had no points.", "Check the LiDAR if it goes on."),
    "no_finite_point": Remedy("A cloud had no valid point.", "Check the LiDAR if it goes on."),
    "intensity_saturated": Remedy(
        "Most intensities are above the full scale.", "Set `intensity_scale`."
    ),
    "odd_row_step": Remedy(
        "`row_step` is wrong; the cloud was read by the length of its data.",
        "Nothing; the driver's makers would like to know.",
    ),
    "not_deskewed": Remedy(
        "The poses did not cover a sweep, so that its cloud was labelled as it came.",
        "Nothing, if it is rare; else raise `pose_timeout`.",
    ),
    "pose_extrapolated": Remedy(
        "The newest motion was continued to the end of a sweep.", "Nothing."
    ),
    "bad_odometry": Remedy(
        "A pose was not finite, or its quaternion was zero; it was ignored.",
        "Check the odometry.",
    ),
}
"""What is counted, and costs no cloud its labels."""

HEALTH = {
    "everything_moves": Remedy(
        "Half of what stands on the ground, or more, is called moving: poses or mount are wrong.",
        "Check `odom`, `pose_source`, and `base_to_lidar` or `/tf_static`.",
    ),
    "odometry_frozen": Remedy(
        "The poses stand still while what is seen changes as if the robot drove.",
        "Check the odometry. In a dense crowd around a robot that stands, it may be right.",
    ),
    "poses_do_not_fit": Remedy(
        "Much of what is seen stands where free space was just before.",
        "Check mount, clocks and `deskew`.",
    ),
    "mount_yaw": Remedy(
        "What stands still drifts sideways while the robot drives: the LiDAR is turned against "
        "what its mount says.",
        "Correct the yaw in `base_to_lidar` or `/tf_static`.",
    ),
    "mount_tilt": Remedy(
        "The ground leans against the base frame by 4 degrees or more, all the time.",
        "Correct roll and pitch in `base_to_lidar` or `/tf_static`.",
    ),
    "pose_jitter": Remedy(
        "The poses jump from scan to scan by more than a robot can.",
        "Find the second publisher of the transform, or smooth the odometry.",
    ),
    "many_resets": Remedy(
        "The history was cleared four times in ten seconds: nothing is called moving.",
        "The log names the reason of each.",
    ),
    "empty_clouds": Remedy(
        "Most clouds hold no return.", "Check the LiDAR, `min_range` and `max_range`."
    ),
    "heaped_returns": Remedy(
        "40 % of the returns or more lie at one distance: something covers the LiDAR, or the "
        "driver writes a distance where it saw nothing.",
        "Clean it, or set `min_range`.",
    ),
    "view_lost": Remedy(
        "Directions that held returns hold none any more.",
        "Look for a cover, or for lost packets.",
    ),
    "delivery": Remedy(
        "Clouds are published, and hardly any arrive.",
        "Set the DDS profile that the log names.",
    ),
}
"""Complaints about what cannot be right (`health` in /diagnostics, last lines of commands)."""
