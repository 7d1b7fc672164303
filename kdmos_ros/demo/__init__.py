"""The demo: a drive is played over DDS to the real node, and what it answers is recorded."""
