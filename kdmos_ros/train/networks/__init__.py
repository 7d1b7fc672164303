"""The networks in PyTorch: student, teacher, their parts and their weights."""
