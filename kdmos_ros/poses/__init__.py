"""Where poses come from: buffers, jumps, mounts, LiDAR odometry, recorded poses."""
