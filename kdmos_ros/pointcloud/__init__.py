"""PointCloud2 messages to arrays and back: layout, points, the time of each point, deskewing."""
