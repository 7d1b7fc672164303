"""How the poses may get worse, to measure how much of the IoU is left."""

from __future__ import annotations

from kdmos_ros.poses.pose_noise import PoseNoise

NOISE_M = (0.01, 0.03, 0.05, 0.1, 0.15)
NOISE_DEG = (0.1, 0.25, 0.5, 1.0)
DRIFT_M = (0.05, 0.1, 0.2)
OFFSET_MS = (10.0, 20.0, 30.0, 50.0)


def cases(seed: int) -> list[tuple[str, PoseNoise]]:
    """(name, error) of each row."""
    rows = [("as recorded", PoseNoise(seed=seed))]
    rows += [(f"noise {100 * v:g} cm", PoseNoise(noise_m=v, seed=seed)) for v in NOISE_M]
    rows += [(f"noise {v:g}°", PoseNoise(noise_deg=v, seed=seed)) for v in NOISE_DEG]
    rows += [(f"drift {100 * v:g} cm in 1 s", PoseNoise(drift_m=v, seed=seed)) for v in DRIFT_M]
    rows += [("no height, roll and pitch", PoseNoise(planar=True, seed=seed))]
    rows += [(f"stamps {v:g} ms late", PoseNoise(offset_ms=v, seed=seed)) for v in OFFSET_MS]
    return rows
