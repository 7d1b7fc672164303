"""Plain data, as YAML and JSON have it, for dataclasses that cannot change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a frozen dataclass: the lists among the values as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
