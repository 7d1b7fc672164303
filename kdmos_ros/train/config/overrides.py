"""Single entries of a recipe, changed from the command line or by a plan: distil.loss=kl."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from kdmos_ros.errors import KdmosError


def parse(settings: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE texts, the value in YAML, as a mapping from key to value.

    Raises:
        KdmosError: a text without "=", without a key, or whose value is not YAML.
    """
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not key or not equals:
            raise KdmosError(f"{setting!r}: expected KEY=VALUE, as in distil.loss=kl")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise KdmosError(f"{setting!r}: the value is not YAML") from error
    return values


def as_settings(values: Mapping[str, Any]) -> list[str]:
    """The texts that `parse` reads as these values."""
    return [f"{key}={_flow(value)}" for key, value in values.items()]


def applied(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a recipe's mapping with entries replaced; a dot leads into a section.

    Raises:
        ValueError: a key leads through something that is no section.
    """
    result = copy.deepcopy(dict(content))
    for key, value in values.items():
        *sections, last = key.split(".")
        target = result
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ValueError(f"{key}: {section} is no section")
        target[last] = value
    return result


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()
