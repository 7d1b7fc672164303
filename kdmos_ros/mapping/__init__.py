"""The static world of a recording as one point cloud, and how clean it is."""
