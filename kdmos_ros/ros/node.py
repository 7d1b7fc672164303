"""The ROS 2 node `mos_node`: life cycle, services and diagnostics around a Session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from kdmos_ros.errors import KdmosError
from kdmos_ros.pipeline.memory import trim_heap
from kdmos_ros.pipeline.model_reload import Reloader
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.ros.diagnostics import diagnostics
from kdmos_ros.ros.model_loading import ModelLoading, load_before_configuring, load_segmenter
from kdmos_ros.ros.parameters import Parameters
from kdmos_ros.ros.session import Session

_WATCH_PERIOD_S = 1.0
_TRIM_PERIOD_S = 60.0
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class MosNode(LifecycleNode):
    """Labels clouds with odometry: `points`, `odom` -> `~/labeled`, `~/moving`, `~/static`.

    A managed node; `start` is what a manager would do.

    Args:
        load: makes the segmenter on configuring.
        options: of rclpy's Node.

    Raises:
        KdmosError: a parameter is refused.
    """

    def __init__(
        self, load: Callable[[Mapping[str, Any]], Any] = load_segmenter, **options: Any
    ) -> None:
        super().__init__("mos_node", **options)
        self._load = load
        self._session: Session | None = None
        self._reloader: Reloader | None = None
        self._failure = ""
        self.state_name = "unconfigured"
        self.statistics = Statistics()
        self.parameters = Parameters(self, configured=lambda: self._session is not None)
        self._loading = ModelLoading(self, load, self.parameters)
        load_before_configuring(self, self._loading)
        for line in self.parameters.unknown():
            self.get_logger().warning(line)
        self._status = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady: diagnostics and watchdog must work when simulated time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._reports = self.create_timer(
            self.parameters["diagnostics_period"], self._report, clock=steady
        )
        self.create_timer(_WATCH_PERIOD_S, self._watch, clock=steady)
        self.create_timer(_TRIM_PERIOD_S, trim_heap, clock=steady)
        self.create_service(Trigger, "~/reset", self._on_reset)
        backwards = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
        )
        self._jumps = self.get_clock().create_jump_callback(
            backwards, post_callback=lambda _: self._reset()
        )

    def start(self) -> None:
        """Configure and activate.

        Raises:
            KdmosError: it failed; the message says why.
        """
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != _SUCCESS:
                raise KdmosError(self._failure)

    def start_aside(self) -> None:
        """As `start`, with the model loaded beside the executor; errors end its spinning."""
        self._loading.begin(self.start)

    def stop(self) -> None:
        """Stop and free everything, from any state; twice is fine."""
        self._loading.forget()
        session, self._session = self._session, None
        if session is not None and self._reloader is not None:
            self._reloader.close()
            self._reloader = None
            session.close()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm up the model."""
        return self._guarded("inactive", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start to label."""
        return self._guarded("active", lambda: self._configured().start())

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to label; the model stays loaded."""
        return self._guarded("inactive", lambda: self._configured().stop())

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and all publishers."""
        return self._guarded("unconfigured", self.stop)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        return self._guarded("finalized", self.stop)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to the beginning, so that a manager can try again."""
        return self._guarded("unconfigured", self.stop)

    def _configured(self) -> Session:
        """The session of a node that is configured."""
        if self._session is None:
            raise KdmosError("the node is not configured")
        return self._session

    def _guarded(self, target: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """Run a transition; what goes wrong in it, rclpy itself would swallow."""
        try:
            action()
        except Exception as error:
            self._failure = str(error) if isinstance(error, KdmosError) else repr(error)
            self.get_logger().error(f"cannot become {target}: {self._failure}")
            return _FAILURE
        self.get_logger().info(f"{self.state_name} -> {target}")
        self.state_name = target
        return _SUCCESS

    def _configure(self) -> None:
        segmenter = self._loading.segmenter()
        self._session = Session(self, self.parameters, segmenter, self.statistics)
        self._reloader = Reloader(
            self.parameters, self._load, self._session.use, self._set_back, self.get_logger()
        )

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self.state_name == "active"
        response.message = "history cleared" if response.success else "the node is not active"
        self._reset()
        return response

    def _set_back(self, values: dict[str, Any]) -> None:
        self.set_parameters([Parameter(name, value=value) for name, value in values.items()])

    def _reset(self) -> None:
        if self._session is not None:
            self._session.reset()

    def _watch(self) -> None:
        period_ns = round(self.parameters["diagnostics_period"] * 1e9)
        if self._reports.timer_period_ns != period_ns:
            self._reports.timer_period_ns = period_ns
            self._reports.reset()
        if self._session is not None and self._reloader is not None:
            self._session.refresh()
            self._session.watch_inputs()
            self._reloader.check()

    def _figures(self) -> dict[str, object]:
        if self._session is None or self._reloader is None:
            return {}
        return {
            **self._session.figures(),
            "model_loading": self._reloader.loading,
            "model_refused": self._reloader.failure,
        }

    def _report(self) -> None:
        session = self._session
        self._status.publish(
            diagnostics(
                self.get_clock().now().to_msg(),
                f"{self.get_fully_qualified_name().lstrip('/')}: segmentation",
                self.statistics.snapshot(),
                session.identity if session else None,
                self.state_name,
                self._figures(),
                session.complaints() if session else [],
            )
        )
