"""Moving objects from moving points: clusters, boxes, speeds."""
