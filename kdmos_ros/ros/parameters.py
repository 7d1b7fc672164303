"""The node's parameters, declared and checked by their table."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.parameter import Parameter

from kdmos_ros.errors import KdmosError
from kdmos_ros.ros.parameter_table import SPECS


class Parameters(Mapping[str, Any]):
    """The parameters of a node, always up to date, by name.

    Args:
        node: declares all of SPECS on it.
        configured: whether the node is configured now; then only live parameters may change.

    Raises:
        KdmosError: a value given at start-up is refused; the message names the parameter.
    """

    def __init__(self, node: Any, configured: Callable[[], bool]) -> None:
        self._node = node
        self._configured = configured
        self._specs = {spec.name: spec for spec in SPECS}
        self._started = False
        node.add_on_set_parameters_callback(self._on_set)
        for spec in SPECS:
            try:
                node.declare_parameter(spec.name, spec.default, spec.descriptor())
            except ParameterException as error:
                raise KdmosError(f"parameter '{spec.name}' is refused: {error}") from error
        self._started = True

    def __getitem__(self, name: str) -> Any:
        if name not in self._specs:
            raise KeyError(name)
        return self._node.get_parameter(name).value

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def unknown(self) -> list[str]:
        """One line for every parameter that was given at start-up but does not exist."""
        lines = []
        for name in getattr(self._node, "_parameter_overrides", {}):
            if not self._node.has_parameter(name) and not name.startswith("qos_overrides."):
                close = difflib.get_close_matches(name, self._specs, n=1)
                hint = f"; did you mean '{close[0]}'?" if close else ""
                lines.append(f"there is no parameter '{name}': it is ignored{hint}")
        return lines

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        for change in changes:
            complaint = self._complaint(change.name, change.value)
            if complaint:
                return SetParametersResult(successful=False, reason=complaint)
        return SetParametersResult(successful=True)

    def _complaint(self, name: str, value: Any) -> str | None:
        spec = self._specs.get(name)
        if spec is None:
            return None
        complaint = spec.complaint(value)
        if complaint or not self._started:
            return complaint
        if value == self[name]:
            return None  # as when a dump of all is loaded again
        if self._configured() and not spec.live:
            return (
                f"parameter '{name}' can only change while the node is unconfigured: "
                "deactivate it and clean it up first"
            )
        if spec.check_live:
            try:
                spec.check_live(value)
            except KdmosError as error:
                return f"parameter '{name}': {error}"
        return None
