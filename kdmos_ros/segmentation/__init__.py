"""From a scan to its labels: the whole online method, free of ROS."""
