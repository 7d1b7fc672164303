"""Whether clouds are deskewed, as parameter files, launch and command lines may write it."""

from __future__ import annotations

from typing import Any

from kdmos_ros.defaults import DESKEW_CHOICES


def deskew_mode(value: Any) -> str:
    """One of DESKEW_CHOICES: auto (where the cloud has usable times), true or false.

    Args:
        value: one of these texts, or a truth value, as YAML reads an unquoted true or false.

    Raises:
        ValueError: it is neither.
    """
    text = str(value).lower() if isinstance(value, (bool, str)) else ""
    if text not in DESKEW_CHOICES:
        raise ValueError(f"must be {' or '.join(DESKEW_CHOICES)}, got {value!r}")
    return text
