"""`kdmos bench`: how long each stage takes, and how long it would have to take on this machine."""
