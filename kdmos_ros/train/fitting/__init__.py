"""Fitting student and teacher: losses, loop, checkpoints, validation."""
