"""The node in its own process, fed by a bag over DDS and recorded."""
