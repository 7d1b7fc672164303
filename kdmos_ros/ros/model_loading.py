"""Loads the model in a thread of its own: parameters and signals are answered meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from lifecycle_msgs.msg import Transition
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.task import Future

from kdmos_ros.pipeline.memory import return_free_memory
from kdmos_ros.pipeline.model_reload import NAMES

_POLL_S = 0.05
_PATIENCE_S = 3.0


def load_segmenter(parameters: Mapping[str, Any]) -> Any:
    """The segmenter that the parameters ask for, warmed up.

    Raises:
        KdmosError: no such model, or it cannot be used.
    """
    from kdmos_ros.pipeline.first_start import warm_up
    from kdmos_ros.segmentation.online_segmenter import check_lookahead
    from kdmos_ros.segmentation.segmenter import Segmenter, default_model

    segmenter = Segmenter(
        parameters["model"] or default_model(),
        provider=parameters["provider"],
        num_threads=parameters["num_threads"],
        precision=parameters["precision"],
        provider_options=parameters["provider_options"],
    )
    if parameters["lookahead"]:
        check_lookahead(segmenter.spec)
    return_free_memory()  # before the next step wants more: the peak is lower
    warm_up(segmenter)
    return_free_memory()
    return segmenter


class ModelLoading:
    """Makes the segmenters of a node, in a thread beside its executor if there is time for it.

    Args:
        node: its executor is told when one is there.
        load: makes a segmenter of the parameters.
        parameters: by name.
    """

    def __init__(
        self, node: Any, load: Callable[[Mapping[str, Any]], Any], parameters: Mapping[str, Any]
    ) -> None:
        self._node, self._load, self._parameters = node, load, parameters
        self._thread: threading.Thread | None = None
        self._waiting: list[Callable[[], None]] = []
        self._timer: Any = None
        self._asked: dict[str, Any] = {}
        self._segmenter: Any = None
        self._error: Exception | None = None

    def begin(self, then: Callable[[], None]) -> None:
        """Load now; `then` is called by the executor when that is done, however it went."""
        self._waiting.append(then)
        if self._thread is not None:
            return
        self._say_that_it_begins()
        self._asked = {**self._parameters}
        self._segmenter, self._error = None, None
        self._began, self._patient = time.monotonic(), True
        self._thread = threading.Thread(target=self._run, name="mos_load", daemon=True)
        self._thread.start()
        # Steady: a model is also loaded while simulated time stands still.
        self._timer = self._node.create_timer(
            _POLL_S, self._poll, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def segmenter(self) -> Any:
        """What was loaded, if it is what the parameters still ask for; else it is loaded here.

        Raises:
            KdmosError: it cannot be.
        """
        thread, self._thread = self._thread, None
        if thread is not None and not thread.is_alive():
            segmenter, error, self._segmenter = self._segmenter, self._error, None
            if all(self._parameters[name] == self._asked[name] for name in NAMES):
                if error is not None:
                    raise error
                return segmenter
        self._say_that_it_begins()
        return self._load(self._parameters)

    def forget(self) -> None:
        """Nobody waits any more; a thread that loads is left alone."""
        self._waiting, self._thread = [], None
        self._stop_polling()

    def _say_that_it_begins(self) -> None:
        self._node.get_logger().info(f"loading model '{self._parameters['model'] or 'default'}'")

    def _run(self) -> None:
        try:
            self._segmenter = self._load(self._asked)
        except Exception as error:  # raised where the segmenter is asked for
            self._error = error

    def _poll(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            if self._patient and time.monotonic() - self._began > _PATIENCE_S:
                self._patient = False
                self._node.get_logger().info(
                    "still loading: the first start after an install compiles, which takes some "
                    "ten seconds of two cores; later starts take two"
                )
            return
        self._stop_polling()
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()

    def _stop_polling(self) -> None:
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None


def load_before_configuring(node: Any, loading: ModelLoading) -> None:
    """Have the service change_state load the model beside the executor, then configure.

    rclpy answers the service in one go, and no parameter call meanwhile. What is asked for in the
    wrong state is refused; of itself, rclpy ends the process then.

    Args:
        node: a LifecycleNode with `state_name`.
    """
    service = getattr(node, "_service_change_state", None)
    if service is None:  # another rclpy: it configures in one go
        return
    change = service.callback

    async def answer(request: Any, response: Any) -> Any:
        asked = request.transition.label or request.transition.id
        configure = asked in ("configure", Transition.TRANSITION_CONFIGURE)
        if configure and node.state_name == "unconfigured":
            loaded = Future(executor=node.executor)
            loading.begin(lambda: loaded.set_result(None))
            await loaded
        try:
            return change(request, response)
        except rclpy_implementation.RCLError:
            if not node.context.ok():
                raise
            node.get_logger().error(f"transition {asked} is not possible while {node.state_name}")
            response.success = False
            return response

    service.callback = answer
    # Of its own, or nothing else of the node would be called until the answer is there.
    service.callback_group = ReentrantCallbackGroup()
    service.callback_group.add_entity(service)
