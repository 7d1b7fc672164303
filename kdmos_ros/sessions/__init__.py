"""The node as a process of its own, fed by a bag over DDS and recorded."""
