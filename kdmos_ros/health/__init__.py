"""What cannot be right with clouds, poses and mount: measured, told by its cause."""
