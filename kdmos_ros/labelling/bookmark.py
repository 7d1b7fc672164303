"""How far an unfinished output is: a small file beside it, OUTPUT.partial.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file


class Bookmark:
    """Marks an output as unfinished for as long as it is.

    Args:
        output: path of the output; its bookmark lies beside it.
        made_by: everything that the content depends on: bag, model, options. Going on is only
            possible with the same.
    """

    def __init__(self, output: Path, made_by: Mapping[str, Any]) -> None:
        self.path = output.with_name(f"{output.name}.partial.json")
        self._output = output
        self._made_by = json.loads(json.dumps(made_by))

    def scans(self) -> int:
        """Clouds that are done; 0 without a bookmark, or if the first run never got to write it.

        Raises:
            KdmosError: the bookmark is damaged, or of an output that was made otherwise.
        """
        if not self.path.exists():
            return 0
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            made_by, scans = dict(content["made_by"]), int(content["scans"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KdmosError(f"{self.path}: cannot be read; remove it and start again") from error
        for name in sorted({*made_by, *self._made_by}):
            old, new = made_by.get(name), self._made_by.get(name)
            if old != new:
                raise KdmosError(
                    f"cannot continue {self._output}: it was started with {name} {old}, not {new}"
                )
        return scans

    def write(self, scans: int) -> None:
        """Note how many clouds are done."""
        content = {"scans": scans, "made_by": self._made_by}
        with new_file(self.path) as path:
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def remove(self) -> None:
        """The output is complete."""
        self.path.unlink(missing_ok=True)
