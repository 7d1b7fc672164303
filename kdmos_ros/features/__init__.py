"""From scans to the tensors that a model reads: grid, ground, residuals. For training and node."""
