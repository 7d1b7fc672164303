"""Sub-commands of `kdmos`, one module each; see kdmos_ros.cli."""
