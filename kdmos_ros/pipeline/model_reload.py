"""Changes the model of a running node: loaded aside, taken over between two scans. Free of ROS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from kdmos_ros.errors import KdmosError

# A change of one of these needs another segmenter.
NAMES = (
    "model", "provider", "provider_options", "precision", "num_threads", "lookahead", "footprint",
)  # fmt: skip
# A provider that compiles may take minutes; shutting down does not wait for it.
_PATIENCE_S = 3.0


class Reloader:
    """Keeps the segmenter what the parameters ask for; what cannot be loaded is set back.

    Args:
        parameters: the current values, those of NAMES at least.
        load: makes a segmenter, warmed up, of a copy of the parameters; called in a thread.
        use: takes the segmenter over; called in the same thread.
        restore: sets parameters (name -> value) back to what is in use.
        log: gets success (`info`) and failure (`error`).

    Attributes:
        failure: why the newest change did not come about; "" after one that did.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        load: Callable[[Mapping[str, Any]], Any],
        use: Callable[[Any], None],
        restore: Callable[[dict[str, Any]], None],
        log: Any,
    ) -> None:
        self._parameters, self._load, self._use = parameters, load, use
        self._restore, self._log = restore, log
        self._used = self._refused = self._asked()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.failure = ""

    @property
    def loading(self) -> bool:
        """Whether another segmenter is on its way."""
        return self._thread is not None

    def check(self) -> None:
        """Begin or finish a change. To be called regularly, always from the same thread."""
        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._finish()
        asked = self._asked()
        if asked == self._used:
            self._refused = asked
        if asked not in (self._used, self._refused):
            self._log.info(f"loading model '{asked['model'] or 'default'}' ({asked['provider']})")
            self._trying, self._error = asked, ""
            self._thread = threading.Thread(
                target=self._run, args=({**self._parameters},), name="mos_reload", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Give up a change that is not finished."""
        self._closed = True
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def _asked(self) -> dict[str, Any]:
        return {name: self._parameters[name] for name in NAMES}

    def _run(self, parameters: dict[str, Any]) -> None:
        try:
            segmenter = self._load(parameters)
            if not self._closed:
                self._use(segmenter)
        except Exception as error:  # the old one goes on whatever is wrong with the new one
            self._error = str(error) if isinstance(error, KdmosError) else repr(error)

    def _finish(self) -> None:
        self._thread, self.failure = None, self._error
        if not self._error:
            self._used = self._refused = self._trying
            return
        self._log.error(f"the model stays as it was: {self._error}")
        self._refused = self._trying
        # What was changed again meanwhile is another try, not ours to undo.
        stale = {n: v for n, v in self._used.items() if self._trying[n] != v}
        if self._asked() == self._trying:
            self._restore(stale)
