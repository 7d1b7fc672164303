"""From a cloud message to its labels, with checks, counts and threads; free of ROS."""
