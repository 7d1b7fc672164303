"""Files in and out: rosbag2 (without ROS) and SemanticKITTI folders."""
