"""The ROS 2 side: the node, its parameters, health, bag player and recorder."""
