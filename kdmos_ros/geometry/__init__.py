"""Rigid transforms, angles, and how a mount is written."""
