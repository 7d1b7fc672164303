"""The node in this process, over real DDS, with a stand-in for the network."""

import weakref

import numpy as np
import pytest
from clouds import make_cloud

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from ros_bench import Client, stamps  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from std_msgs.msg import Float64  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from kdmos_ros.cloud_layout import read_layout  # noqa: E402
from kdmos_ros.errors import KdmosError  # noqa: E402
from kdmos_ros.ros import node as node_module  # noqa: E402
from kdmos_ros.ros import outputs, session  # noqa: E402
from kdmos_ros.ros.compat import try_shutdown  # noqa: E402
from kdmos_ros.ros.messages import stamp_ns  # noqa: E402
from kdmos_ros.ros.node import MosNode  # noqa: E402
from kdmos_ros.ros.qos import profile  # noqa: E402
from kdmos_ros.segmenter import Segmentation  # noqa: E402

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
STEP = SECOND // 10
_LIMITS = {
    "pose_max_gap": "max_gap_s", "pose_max_jump": "max_jump_m", "pose_history": "max_seconds",
}  # fmt: skip


class FakeSegmenter:
    """Labels point i with i % 4; notes resets."""

    model_name, provider, fell_back = "fake", "CPUExecutionProvider", False
    precision = "fp32"

    def __init__(self):
        self.resets = 0
        self.poses = []

    def push(self, scan):
        n = len(scan.points)
        self.poses.append(scan.pose)
        labels = (np.arange(n) % 4).astype(np.uint8)
        return Segmentation(labels, np.linspace(0, 1, n, dtype=np.float32), scan.stamp_ns, {})

    def reset(self):
        self.resets += 1

    def set_mount(self, mount):
        self.mount = mount


def pose(x):
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


@pytest.fixture(autouse=True)
def ros():
    rclpy.init()
    yield
    try_shutdown()


@pytest.fixture
def bench():
    """Makes a node with parameters and a client that talks to it."""
    made = []

    def make(start=True, load=None, **parameters):
        segmenter = FakeSegmenter()
        values = {
            "base_to_lidar": "0 0 1.73", "cloud_reliability": "reliable",
            "odom_reliability": "reliable", "queue_size": 100, "cloud_depth": 100,
            "pose_timeout": 30.0, "diagnostics_period": 0.1, **parameters,
        }  # fmt: skip
        node = MosNode(
            load or (lambda _: segmenter),
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        )
        client = Client(others=(node,))
        made.append((node, client))
        if start:
            node.start()
            client.until_connected()
        return node, client, segmenter

    yield make
    for node, client in made:
        node.stop()
        client.close()
        node.destroy_node()


def test_labelled_moving_and_static_clouds(bench):
    _, client, segmenter = bench()
    clouds = []
    for i, layout in enumerate(("kitti", "velodyne", "ouster_organised", "livox")):
        stamp = START + i * STEP
        client.send_odometry(stamp, pose(i))
        clouds.append(client.send_cloud(stamp, make_cloud(layout, seed=i)[0], "/lidar"))
    client.until(lambda: len(client.static) == len(clouds), "all static clouds")
    client.until(lambda: len(client.labelled) == len(clouds), "all labelled clouds")
    client.until(lambda: len(client.moving) == len(clouds), "all moving clouds")

    for cloud, labelled, moving, static in zip(
        clouds, client.labelled, client.moving, client.static, strict=True
    ):
        for out in (labelled, moving, static):
            assert out.header == cloud.header
        assert labelled.fields[: len(cloud.fields)] == cloud.fields
        source, target = read_layout(cloud), read_layout(labelled)
        n = source.size
        assert target.leading_bytes(source.point_step).tobytes() == source.records().tobytes()
        expected = (np.arange(n) % 4).astype(np.uint8)
        np.testing.assert_array_equal(target.column(target.find("label")).ravel(), expected)
        found = target.column(target.find("moving_probability")).ravel()
        np.testing.assert_array_equal(found, np.linspace(0, 1, n, dtype=np.float32))
        records = source.records().reshape(-1)
        assert moving.fields == static.fields == cloud.fields
        assert bytes(moving.data) == records[expected == 3].tobytes()
        assert bytes(static.data) == records[(expected == 1) | (expected == 2)].tobytes()
    np.testing.assert_allclose(segmenter.poses[2][:3, 3], [2, 0, 1.73])
    client.until_status(received=4, labelled=4, dropped=0, model="fake", state="active")


def test_pose_is_waited_for_and_interpolated(bench):
    _, client, segmenter = bench()
    client.send_odometry(START, pose(0))
    client.send_cloud(START + STEP // 4, make_cloud()[0])
    client.until_status(received=1)
    assert client.labelled == []
    client.send_odometry(START + STEP, pose(4))
    client.until(lambda: client.labelled, "the labelled cloud")
    np.testing.assert_allclose(segmenter.poses[0][:3, 3], [1, 0, 1.73])


def test_deskewing_is_switched_at_run_time_and_leaves_the_output_as_it_came(bench):
    node, client, _ = bench(deskew=True)
    client.send_odometry(START, pose(0))
    client.send_cloud(START, make_cloud("kitti")[0])  # has no times
    client.until_status(dropped__no_point_time=1, labelled=0)
    assert "time_field" in client.status["last_error"]
    times = np.linspace(0, 0.05, 50)
    sent = client.send_cloud(START, make_cloud("velodyne", values={"time": times})[0])
    client.send_odometry(START + STEP, pose(4))
    client.until(lambda: client.labelled, "the deskewed cloud")
    source, target = read_layout(sent), read_layout(client.labelled[0])
    assert target.leading_bytes(source.point_step).tobytes() == source.records().tobytes()
    assert node.set_parameters([Parameter("deskew", value=False)])[0].successful
    client.send_cloud(START + STEP, make_cloud("kitti")[0])
    client.until_status(labelled=2, dropped=1)


def test_without_odometry_nothing_is_labelled(bench):
    _, client, segmenter = bench(pose_timeout=0.01)
    client.send_cloud(START, make_cloud()[0])
    client.until_status(dropped__pose_timeout=1, labelled=0)
    assert segmenter.poses == []
    assert "no odometry" in client.status["last_error"]


def test_the_operator_is_told_what_is_wrong(bench):
    segmenter = FakeSegmenter()
    segmenter.fell_back = True
    _, client, _ = bench(load=lambda _: segmenter, pose_timeout=0.0)

    def until(level, message):
        client.until(
            lambda: client.status.get("level") == level and client.status["message"] == message,
            message,
        )

    until(DiagnosticStatus.WARN, "no cloud in the last 10 s")
    client.send_cloud(START, make_cloud()[0])
    until(DiagnosticStatus.ERROR, "no pose: pose_timeout 1")
    for i in range(3):
        client.send_odometry(START + i * STEP, pose(i))
        client.until_status(odometry__added=i + 1)
        client.send_cloud(START + i * STEP, make_cloud()[0])
    fallback = "CPU fallback: running on CPUExecutionProvider, not the provider asked for"
    until(DiagnosticStatus.WARN, f"dropping 25% of the clouds: pose_timeout 1; {fallback}")


def test_bad_odometry_is_ignored_and_counted(bench):
    _, client, _ = bench()
    client.send_odometry(START, np.full((4, 4), np.nan))
    client.until_status(event__bad_odometry=1)
    client.send_odometry(START, pose(0))
    client.send_cloud(START, make_cloud()[0])
    client.until(lambda: client.labelled, "the labelled cloud")


def test_nothing_is_computed_for_nobody(bench, monkeypatch):
    _, client, _ = bench()
    made = []
    for name in ("append_label", "subset"):
        function = getattr(outputs, name)
        monkeypatch.setattr(
            outputs, name, lambda *a, f=function, n=name: (made.append(n), f(*a))[1]
        )
    client.node.destroy_subscription(client.subscriptions["moving"])
    client.node.destroy_subscription(client.subscriptions["static"])
    client.until(
        lambda: (
            client.node.count_subscribers("/mos_node/static") == 0
            and client.node.count_subscribers("/mos_node/moving") == 0
        ),
        "the subscriptions to be gone",
    )
    client.send_odometry(START, pose(0))
    client.send_cloud(START, make_cloud()[0])
    client.until(lambda: client.labelled, "the labelled cloud")
    client.until_status(labelled=1)
    assert made == ["append_label"]


def test_latency_topics_and_late_clouds(bench):
    node, client, _ = bench(late_after=0.001)
    values = {}
    for stage in ("decode", "total"):
        client.node.create_subscription(
            Float64, f"/mos_node/debug/latency/{stage}_ms",
            lambda message, s=stage: values.update({s: message.data}), 10,
        )  # fmt: skip
    numbers = iter(range(1000))

    def label():
        i = next(numbers)
        client.send_odometry(START + i * STEP, pose(0))
        client.send_cloud(START + i * STEP, make_cloud(width=20_000)[0])
        client.until(lambda: len(client.labelled) == i + 1, "the labelled cloud")

    label()
    client.until(
        lambda: all(
            client.node.count_publishers(f"/mos_node/debug/latency/{stage}_ms")
            for stage in ("decode", "total")
        ),
        "the topics",
    )
    while len(values) < 2:
        label()
    assert 0 < values["decode"] < values["total"]
    client.until(lambda: int(client.status.get("late", 0)) > 0, "late clouds")
    assert "late" in client.status["message"]
    node.set_parameters([Parameter("late_after", value=60.0)])
    client.until_status(labelled=len(client.labelled))
    late = client.status["late"]
    label()
    client.until_status(labelled=len(client.labelled), late=late)


def test_moving_objects_are_shown_with_their_speed(bench):
    _, client, segmenter = bench(base_to_lidar="0.5 0 1.7 0 0 1.5708")
    everything = lambda scan: Segmentation(  # noqa: E731
        np.full(len(scan.points), 3, np.uint8), np.ones(len(scan.points), np.float32),
        scan.stamp_ns, {},
    )  # fmt: skip
    segmenter.push = everything
    arrays = []
    client.node.create_subscription(MarkerArray, "/mos_node/objects", arrays.append, 10)
    client.until(lambda: client.node.count_subscribers("/mos_node/objects"), "the subscription")
    rng = np.random.default_rng(0)
    box = rng.uniform(-1, 1, (200, 3)) * [0.9, 2.0, 0.7]

    def label(i):
        # The robot drives at 5 m/s along odom's x, the car at 9 m/s ahead of it: in the frame of
        # the LiDAR, turned by 90 degrees, it moves along -y.
        points = box + np.array([0, -10 - 0.4 * i, 0])
        values = {axis: points[:, k] for k, axis in enumerate("xyz")}
        client.send_odometry(START + i * STEP, pose(0.5 * i))
        client.send_cloud(START + i * STEP, make_cloud("plain_xyz", 200, values=values)[0])
        client.until(lambda: len(client.labelled) == i + 1, "the labelled cloud")

    i = 0
    while len(arrays) < 10:  # those before the subscription is known are not sent
        label(i)
        i += 1
    markers = {marker.ns: marker for marker in arrays[-1].markers}
    assert arrays[-1].markers[0].action == Marker.DELETEALL
    assert set(markers) == {"", "box", "velocity", "speed"}
    (newest,) = {stamp_ns(m.header.stamp) for m in arrays[-1].markers}
    age = (newest - START) // STEP
    box_marker, arrow = markers["box"], markers["velocity"]
    assert box_marker.header.frame_id == "lidar"
    place = box_marker.pose.position
    np.testing.assert_allclose([place.x, place.y], [0, -10 - 0.4 * age], atol=0.1)
    # Length along the heading, then width, then height.
    scale = box_marker.scale
    np.testing.assert_allclose([scale.x, scale.y, scale.z], [4, 1.8, 1.4], atol=0.2)
    ends = np.array([[p.x, p.y, p.z] for p in arrow.points])
    np.testing.assert_allclose(ends[1] - ends[0], [0, -9, 0], atol=0.6)
    assert abs(float(markers["speed"].text.split()[0]) - 9) < 0.6


def test_life_cycle(bench):
    node, client, segmenter = bench(start=False, autostart=False)
    client.until_status(state="unconfigured")
    assert client.node.count_subscribers("/points") == 0

    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    client.until_status(state="inactive", model="fake")
    (refused,) = node.set_parameters([Parameter("cloud_depth", value=3)])
    assert not refused.successful
    assert "clean it up first" in refused.reason
    assert node.set_parameters([Parameter("pose_timeout", value=3.0)])[0].successful

    for round_ in (1, 2):
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        client.until_connected()
        client.until_status(state="active")
        stamp = START + round_ * SECOND
        client.send_odometry(stamp, pose(0))
        client.send_cloud(stamp, make_cloud()[0])
        client.until(lambda n=round_: len(client.labelled) == n, "the labelled cloud")
        assert segmenter.resets == round_
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        client.until(lambda: client.node.count_subscribers("/points") == 0, "no subscription")

    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    client.until_status(state="unconfigured", model="")
    assert node.set_parameters([Parameter("cloud_depth", value=3)])[0].successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS


def test_failure_to_load_leaves_a_node_that_can_try_again(bench):
    answers = [KdmosError("no model 'gone'"), ZeroDivisionError("bug"), FakeSegmenter()]

    def load(_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    node, client, _ = bench(start=False, load=load)
    with pytest.raises(KdmosError, match="no model 'gone'"):
        node.start()
    client.until_status(state="unconfigured")
    with pytest.raises(KdmosError, match="bug"):
        node.start()
    node.start()
    client.until_status(state="active")


def test_model_changes_while_scans_are_labelled(bench, tiny_model, other_tiny_model):
    made = []

    def load(parameters):
        segmenter = FakeSegmenter()
        segmenter.model_name = parameters["model"]
        made.append(segmenter)
        return segmenter

    node, client, _ = bench(load=load, model=str(tiny_model))

    def label(i):
        client.send_odometry(START + i * STEP, pose(0))
        client.send_cloud(START + i * STEP, make_cloud()[0])
        client.until(lambda: len(client.labelled) == i + 1, "the labelled cloud")

    label(0)
    (result,) = node.set_parameters([Parameter("model", value=str(other_tiny_model))])
    assert result.successful
    client.until_status(model=other_tiny_model, model_loading=False)
    label(1)
    assert [len(segmenter.poses) for segmenter in made] == [1, 1]
    np.testing.assert_array_equal(made[1].mount, made[0].mount)


def test_model_that_cannot_be_used_leaves_the_old_one_in_place(bench, tiny_model, tmp_path):
    node, client, _ = bench()
    (result,) = node.set_parameters([Parameter("model", value=str(tmp_path))])
    assert not result.successful
    assert str(tmp_path) in result.reason

    # One whose damage shows only when it is loaded.
    node._reloader._load = lambda parameters: (_ for _ in ()).throw(KdmosError("graph is odd"))
    assert node.set_parameters([Parameter("model", value=str(tiny_model))])[0].successful
    client.until_status(model="fake", model_refused="graph is odd", model_loading=False)
    assert node.parameters["model"] == ""
    client.send_odometry(START, pose(0))
    client.send_cloud(START, make_cloud()[0])
    client.until(lambda: client.labelled, "the labelled cloud")


def test_clean_up_frees_the_model(bench):
    class Large(FakeSegmenter):
        pass

    node, client, _ = bench(load=lambda _: Large())
    client.send_odometry(START, pose(0))
    client.send_cloud(START, make_cloud()[0])
    client.until(lambda: client.labelled, "the labelled cloud")
    held = weakref.ref(node._session._pipeline._segmenter), weakref.ref(node._session)
    assert all(reference() is not None for reference in held)
    node.trigger_deactivate()
    node.trigger_cleanup()
    client.until_status(state="unconfigured")
    assert [reference() for reference in held] == [None, None]


def test_reports_come_as_often_as_asked_for(bench):
    node, client, _ = bench(diagnostics_period=60.0)
    assert client.status == {}
    assert node.set_parameters([Parameter("diagnostics_period", value=0.1)])[0].successful
    client.until_status(state="active")


def test_limits_of_poses_change_while_the_node_runs(bench, monkeypatch):
    monkeypatch.setattr(node_module, "_WATCH_PERIOD_S", 0.05)
    node, client, segmenter = bench(pose_max_gap=0.2, pose_timeout=0.0)

    def send(step, x):
        client.send_odometry(START + step * STEP, pose(x))
        client.until_status(odometry__added=step + 1)

    def limit(**values):
        node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        buffer = node._session._poses.buffer
        client.until(
            lambda: all(getattr(buffer, _LIMITS[n]) == v for n, v in values.items()), "the limits"
        )

    for step in range(3):
        send(step, 0.1 * step)
    client.send_cloud(START + 2 * STEP, make_cloud()[0])
    client.until_status(labelled=1)
    before = segmenter.resets
    limit(pose_max_jump=100.0, pose_history=60.0)
    send(3, 7.0)  # a jump, if the limit were still a metre
    client.send_cloud(START + 3 * STEP, make_cloud()[0])
    client.until_status(labelled=2, odometry__jumps=0)
    assert segmenter.resets == before
    limit(pose_max_jump=1.0)
    send(4, 7.1)  # as far from the course as that
    client.send_cloud(START + 4 * STEP, make_cloud()[0])
    client.until_status(labelled=3, odometry__jumps=1)
    assert segmenter.resets == before + 1
    limit(pose_max_gap=5.0)
    client.send_odometry(START + 20 * STEP, pose(7.1))
    client.until_status(odometry__added=6, odometry__gaps=0)
    client.send_cloud(START + 10 * STEP, make_cloud()[0])
    client.until_status(labelled=4, dropped=0)


def test_the_queue_may_grow_and_shrink_while_the_node_runs(bench, monkeypatch):
    monkeypatch.setattr(node_module, "_WATCH_PERIOD_S", 0.05)
    node, client, _ = bench(queue_size=100)
    box = node._session._worker._mailbox
    for i in range(6):  # no pose yet: the first is in work, the others wait
        client.send_cloud(START + i * STEP, make_cloud()[0])
    client.until_status(received=6, waiting=5)
    node.set_parameters([Parameter("queue_size", value=2)])
    client.until(lambda: box.size == 2, "the smaller queue")
    client.send_cloud(START + 6 * STEP, make_cloud()[0])
    client.until_status(received=7, waiting=2, dropped__queue_full=4)
    for i in range(7):
        client.send_odometry(START + i * STEP, pose(0))
    client.until(lambda: len(client.labelled) == 3, "the clouds that were kept")
    assert stamps(client.labelled) == [START + i * STEP for i in (0, 5, 6)]


def test_the_heap_is_trimmed_while_the_node_runs(bench, monkeypatch):
    trimmed = []
    monkeypatch.setattr(node_module, "_TRIM_PERIOD_S", 0.05)
    monkeypatch.setattr(node_module, "trim_heap", lambda: trimmed.append(1))
    _, client, _ = bench()
    client.until(lambda: len(trimmed) > 1, "the heap's trimming")


def test_reset_service(bench):
    node, client, segmenter = bench()
    caller = client.node.create_client(Trigger, "/mos_node/reset")
    client.until(caller.service_is_ready, "the service")

    def call():
        future = caller.call_async(Trigger.Request())
        client.until(future.done, "the answer")
        return future.result()

    before = segmenter.resets
    assert call().success
    client.send_odometry(START, pose(0))
    client.send_cloud(START, make_cloud()[0])
    client.until(lambda: client.labelled, "the labelled cloud")
    assert segmenter.resets == before + 1
    node.trigger_deactivate()
    assert not call().success


def test_simulated_time_that_jumps_back_clears_the_history(bench):
    node, client, segmenter = bench(use_sim_time=True)
    clock = client.node.create_publisher(Clock, "/clock", profile("reliable", 10))
    client.until(clock.get_subscription_count, "the clock's subscription")
    before = segmenter.resets
    for i, (second, resets) in enumerate([(100, before), (101, before), (50, before + 1)]):
        message = Clock()
        message.clock.sec = second
        clock.publish(message)
        now = second * SECOND
        client.until(lambda t=now: node.get_clock().now().nanoseconds == t, "the time")
        stamp = START + i * STEP  # goes on, so that only the clock can be the reason
        client.send_odometry(stamp, pose(0))
        client.send_cloud(stamp, make_cloud()[0])
        client.until(lambda t=stamp: t in stamps(client.labelled), "the labelled cloud")
        assert segmenter.resets == resets


def test_looping_bag_starts_afresh(bench):
    _, client, segmenter = bench()
    before = segmenter.resets
    for _ in range(2):
        for i in range(30):
            client.send_odometry(START + i * STEP, pose(i))
            client.send_cloud(START + i * STEP, make_cloud()[0])
        expected = len(client.labelled) + 30
        client.until(lambda n=expected: len(client.labelled) == n, "a whole round")
    assert segmenter.resets == before + 1
    assert stamps(client.labelled) == [START + i * STEP for i in range(30)] * 2


def test_publisher_whose_qos_does_not_fit_is_reported(bench, monkeypatch):
    lines = []
    monkeypatch.setattr(
        session.ThrottledLog, "warning", lambda self, kind, text: lines.append(text)
    )
    node, client, _ = bench(start=False)
    client.node.destroy_publisher(client.clouds)
    client.node.create_publisher(type(make_message()), "/points", profile("best_effort", 5))
    node.start()
    client.until(lambda: any("cloud_reliability" in line for line in lines), "the warning")


def make_message():
    from sensor_msgs.msg import PointCloud2

    return PointCloud2()


def test_silent_publisher_is_reported(bench, monkeypatch):
    lines = []
    monkeypatch.setattr(
        session.ThrottledLog, "warning", lambda self, kind, text: lines.append(text)
    )
    monkeypatch.setattr("kdmos_ros.ros.watchdog.SILENCE_S", 0.0)
    bench()[1].until(lambda: any("fastdds_profile.xml" in line for line in lines), "the warning")
