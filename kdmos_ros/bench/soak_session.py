"""Runs the node over DDS for as long as one likes, and notes its memory."""

from __future__ import annotations

import sys
from typing import Any

from kdmos_ros.bench.node_timing import fed_node
from kdmos_ros.bench.soak import Sampler, Soak
from kdmos_ros.bench.stage_times import Case, peak_memory_mb
from kdmos_ros.errors import KdmosError

# More clouds than the node can label, and for how long they come first.
_BURST_HZ, _BURST_S = 50.0, 20.0


def soak(case: Case, seconds: float, rate_hz: float | None = None) -> Soak:
    """Play a bag to the node again and again.

    Each turn's stamps go on where those of the last one ended; the pose jumps back to the start,
    so that the node clears its history, too. A burst comes first: what an overload fills, such as
    the middleware's buffers for clouds that wait, is full from then on, and what rises later leaks.
    ^C ends it early; what was measured by then counts.

    Args:
        rate_hz: clouds a second; None: the pace of the recording.

    Raises:
        KdmosError: the node does not start, ends, or labels nothing.
    """
    with fed_node(case, rate_hz) as fed:
        pid = fed.process.pid
        with Sampler(pid, seconds, lambda: fed.monitor.count("labelled")) as sampler:
            burst_s = min(_BURST_S, seconds / 4)
            try:
                fed.feeder.play(fed.process.check, seconds=burst_s, rate_hz=_BURST_HZ)
                fed.feeder.play(fed.process.check, seconds=seconds - burst_s)
            except KeyboardInterrupt:
                print("interrupted: this is what there is so far", file=sys.stderr)
        fed.wait_for_the_last()
        values, counts = fed.monitor.values, fed.counts()
        run: dict[str, Any] = {key: values[key] for key in ("model", "provider", "precision")}
        peak = peak_memory_mb(pid)
    if not counts["labelled"]:
        raise KdmosError("the node labelled nothing")
    run |= {"rate_hz": rate_hz, "seconds": seconds}
    return Soak(run, sampler.samples, peak, counts)
