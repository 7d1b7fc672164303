"""What is known of how good a network is, in a file beside its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file

METRICS_FILE = "figures.json"


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Keep what `drive_metrics` measures of a network in a folder."""
    with new_file(folder / METRICS_FILE) as part:
        part.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")


def read_metrics(folder: Path) -> dict[str, Any]:
    """Metrics in a folder; {} if there are none.

    Raises:
        KdmosError: the file is damaged, or not one of metrics.
    """
    path = folder / METRICS_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or "iou_moving" not in content:
            raise ValueError("it tells no moving IoU")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise KdmosError(f"{path}: not figures of a network: {error}") from error
    return content


def headline(figures: Mapping[str, Any]) -> str:
    """What counts most of figures, in a line: by point and, where they tell, by object."""
    text = f"moving IoU {figures['iou_moving']:.3f}"
    objects = figures.get("by_object")
    if objects is None or objects["recall"] is None:
        return text
    alarms = objects["false_alarms_a_scan"]
    return f"{text}, objects found {objects['recall']:.3f}, {alarms:.2f} false alarms a scan"
