"""Whether the labels can be right at all: what scans, poses and labels say of each other.

A model labels whatever it is given. Odometry that stands still, or a mount that is turned, makes
houses move, and nothing in the labels says so. The monitor here measures what must hold if all is
well, says what does not, and names the likely cause and the parameter to look at.
"""
