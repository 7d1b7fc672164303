"""Raw packets in bags are clouds: those of Velodyne and Ouster, made of a known scene."""

import struct

import numpy as np
import pytest
from drive_harness import MOUNT, drive_topics, stamp, write_bag
from label_harness import content, decoded, label

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import POINT_CLOUD, typestore
from kdmos_ros.io.bag_messages import header, time_message
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.velodyne import PACKET, SCAN
from kdmos_ros.labelling.job import Target
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.pointcloud.layout import read_layout
from kdmos_ros.pointcloud.point_times import TimeFormat, read_point_times

N = 3
# VLP-16 user manual: degrees by laser, time of a laser and of a firing of all 16.
ELEVATIONS = np.deg2rad([-15, 1, -13, 3, -11, 5, -9, 7, -7, 9, -5, 11, -3, 13, -1, 15])
LASER_S, FIRING_S = 2.304e-6, 55.296e-6
FIRINGS = 1800
STEP_DEG = 360 / FIRINGS


def wall(azimuth, elevation):
    """Ranges (m) of walls at 5 m on all four sides."""
    side = np.maximum(np.abs(np.cos(azimuth)), np.abs(np.sin(azimuth)))
    return 5 / side / np.cos(elevation)


def vlp16_packets(start_s, model=0x22):
    """(time, bytes) of a turn's packets; azimuth counts clockwise from straight ahead."""
    packets = []
    for first in range(0, FIRINGS, 24):
        blocks = b""
        for firing in range(first, first + 24, 2):
            blocks += struct.pack("<HH", 0xEEFF, round(firing * STEP_DEG * 100) % 36000)
            for k in (firing, firing + 1):
                turned = STEP_DEG * (k + np.arange(16) * LASER_S / FIRING_S)
                ranges = wall(np.deg2rad(turned), ELEVATIONS)
                blocks += b"".join(
                    struct.pack("<HB", round(r / 0.002), 10 * i) for i, r in enumerate(ranges)
                )
        after = first * FIRING_S
        tail = struct.pack("<IBB", round((start_s % 3600 + after) * 1e6), 0x37, model)
        packets.append((start_s + after, blocks + tail))
    return packets


def velodyne_scan(index, model=0x22, n_packets=None):
    types = typestore().types
    packets = [
        types[PACKET](time_message(round(t * 1e9)), np.frombuffer(data, np.uint8))
        for t, data in vlp16_packets(stamp(index) * 1e-9 - 0.1, model)
    ][:n_packets]
    # As ros-drivers/velodyne: the stamp of the last packet.
    return types[SCAN](header(stamp(index), "lidar"), packets)


def packet_topics(**options):
    topics = drive_topics(N)
    del topics["/points"]
    scans = [(stamp(i), velodyne_scan(i, **options)) for i in range(N)]
    topics["/velodyne_packets"] = (SCAN, scans)
    return topics


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_velodyne_scans_are_clouds(tmp_path, storage):
    pytest.importorskip("velodyne_decoder")
    bag = write_bag(tmp_path / "bag", packet_topics(), storage)
    with BagReader(bag) as reader:
        assert (reader.cloud_topic, reader.sensor_frame) == ("/velodyne_packets", "lidar")
        for index, (stamp_ns, message) in enumerate(reader.clouds()):
            assert stamp_ns == stamp(index)
            cloud = decode(message)
            assert len(cloud.points) == 16 * FIRINGS
            side = np.abs(cloud.points[:, :2]).max(axis=1)
            np.testing.assert_allclose(side, 5, atol=0.01)
            assert set(np.rint(cloud.intensity * 255)) == {10.0 * i for i in range(16)}
            times = read_point_times(read_layout(message), cloud.points, stamp_ns, TimeFormat())
            assert -0.1001 < times.first < -0.0999 and -0.002 < times.last < 0
        assert index == N - 1


def test_velodyne_directions_are_those_of_ros(tmp_path):
    """Velodyne counts azimuth clockwise from its y axis, which is straight ahead: ROS' x."""
    pytest.importorskip("velodyne_decoder")
    with BagReader(write_bag(tmp_path / "bag", packet_topics())) as reader:
        message = next(iter(reader.clouds())).message
    points = decode(message).points.reshape(FIRINGS, 16, 3)
    turned = np.deg2rad(STEP_DEG * (np.arange(FIRINGS)[:, None] + np.arange(16) / 24))
    flat = wall(turned, ELEVATIONS) * np.cos(ELEVATIONS)
    wanted = np.stack([flat * np.cos(turned), -flat * np.sin(turned)], axis=-1)
    np.testing.assert_allclose(points[..., :2], wanted, atol=0.01)
    ring = read_layout(message)
    rings = ring.column(ring.find("ring")).reshape(FIRINGS, 16)
    lowest_first = np.argsort(np.argsort(ELEVATIONS))
    assert (rings == lowest_first).all()
    rises = points[:, :, 2] - flat * np.tan(ELEVATIONS)
    assert np.abs(rises).max() < 0.02  # the lasers are not all at the same height


def test_velodyne_packets_are_labelled(tmp_path):
    pytest.importorskip("velodyne_decoder")
    bag = write_bag(tmp_path / "bag", packet_topics())
    label(bag, Target(tmp_path / "out"))
    before, after = content(bag), content(tmp_path / "out")
    assert len(after.pop("/mos_node/labeled")) == N
    assert after == before
    labelled = decoded(tmp_path / "out", "/mos_node/labeled")[0]
    assert {"ring", "time", "label"} <= {f.name for f in labelled.fields}


def test_scan_without_packets_has_no_points(tmp_path):
    pytest.importorskip("velodyne_decoder")
    with BagReader(write_bag(tmp_path / "bag", packet_topics(n_packets=0))) as reader:
        assert [m.width for _, m in reader.clouds()] == [0] * N


def test_packets_of_an_unknown_model(tmp_path):
    pytest.importorskip("velodyne_decoder")
    bag = write_bag(tmp_path / "bag", packet_topics(model=0x07))
    words = r"/velodyne_packets.*model 0x07.*velodyne_pointcloud"
    with pytest.raises(KdmosError, match=words):
        BagReader(bag)


@pytest.mark.parametrize("cloud", [None, "/lidar_packets"])
@pytest.mark.parametrize(
    ("msgtype", "words"),
    [
        ("hesai_ros_driver/msg/UdpFrame", "Hesai.*HesaiLidar_ROS_2.0.*source_type"),
        ("pandar_msgs/msg/PandarScan", "Hesai.*Nebula"),
        ("nebula_msgs/msg/NebulaPackets", "Nebula"),
        ("velodyne_msgs/msg/VelodynePacket", "Velodyne.*velodyne_pointcloud"),
        ("rslidar_msg/msg/RslidarPacket", "RoboSense.*rslidar_sdk.*msg_source"),
        ("robosense_msgs/msg/RobosenseScan", "RoboSense.*Nebula"),
    ],
)
def test_packets_of_other_makers_are_named_with_their_converter(tmp_path, msgtype, words, cloud):
    topics = drive_topics(N)
    del topics["/points"]
    bag = vendor_bag(tmp_path / "bag", topics, msgtype)
    with pytest.raises(KdmosError, match=rf"/lidar_packets .*raw packets.*{words}") as error:
        BagReader(bag, cloud)
    assert "\n" not in str(error.value)


def vendor_bag(path, topics, msgtype):
    """A bag with a topic of a type that is not known here."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for name, (kind, messages) in topics.items():
            connection = writer.add_connection(name, kind, typestore=typestore())
            for time, message in messages:
                writer.write(connection, time, typestore().serialize_cdr(message, kind))
        raw = writer.add_connection(
            "/lidar_packets", msgtype, msgdef="uint8[] data\n", rihs01="RIHS01_" + "0" * 64
        )
        writer.write(raw, stamp(0), b"\0\1\0\0\0\0\0\0")
    return path


# --- Ouster ---------------------------------------------------------------------------------------

ROWS, COLUMNS = 64, 1024


@pytest.fixture(scope="module")
def ouster():
    """(core module, metadata, frames' ranges in mm) of an OS1-64 that counts from its start."""
    pytest.importorskip("more_itertools")
    core = pytest.importorskip("ouster.sdk.core")
    info = core.SensorInfo.from_default(core.LidarMode._1024x10)
    info.config.udp_port_lidar, info.config.udp_port_imu = 7502, 7503  # 0 would mean: off
    return core, info


def ouster_turns(core, info, start_ns, n=N):
    """Packets (column time, bytes) of turns, and each turn's cloud by the library itself."""
    form, lut = core.PacketFormat(info), core.XYZLut(info)
    turns = []
    for turn in range(n):
        frame = core.LidarFrame(info)
        frame.frame_id = 100 + turn
        rng = np.random.default_rng(turn)
        frame.field("RANGE")[:] = rng.integers(1000, 60_000, (info.h, info.w)) // 8 * 8
        frame.field("RANGE")[:, :100] = 0
        frame.field("REFLECTIVITY")[:] = rng.integers(0, 255, (info.h, info.w))
        frame.timestamp[:] = start_ns + turn * 10**8 + np.arange(info.w) * (10**8 // info.w)
        frame.status[:] = 1
        frame.measurement_id[:] = np.arange(info.w)
        packets = [
            (int(form.packet_header(core.ColHeader.TIMESTAMP, p.buf)[-1]), bytes(p.buf))
            for p in core.frame_to_packets(frame, form, info.init_id, 1)
            if len(p.buf) == form.lidar_packet_size
        ]
        turns.append((packets, lut(frame).reshape(-1, 3), frame))
    return turns


def ouster_topics(core, info, clock_ns, received_after_ns=500_000, with_settings=True):
    """A drive whose packets' times are those of the stamps less `clock_ns`."""
    types = typestore().types
    topics = drive_topics(N + 1)
    del topics["/points"]
    turns = ouster_turns(core, info, stamp(0) - clock_ns)
    rows = [
        (time + clock_ns + received_after_ns, types[PACKET_MSG](np.frombuffer(data, np.uint8)))
        for packets, _, _ in turns
        for time, data in packets
    ]
    topics["/ouster/lidar_packets"] = (PACKET_MSG, rows)
    if with_settings:
        settings = types["std_msgs/msg/String"](info.to_json_string())
        topics["/ouster/metadata"] = ("std_msgs/msg/String", [(stamp(0), settings)])
    return topics, turns


PACKET_MSG = "ouster_sensor_msgs/msg/PacketMsg"


def mounted(**options):
    return {"base_T_sensor": MOUNT, **options}


@pytest.mark.parametrize("clock_ns", [0, 1_699_990_000_000_000_000])
def test_ouster_packets_are_clouds(tmp_path, ouster, clock_ns):
    """The cloud is the library's own; the stamps are on the clock of the recorder."""
    core, info = ouster
    topics, turns = ouster_topics(core, info, clock_ns)
    bag = write_bag(tmp_path / "bag", topics)
    with BagReader(bag, **mounted()) as reader:
        assert reader.cloud_topic == "/ouster/points" and reader.sensor_frame == "os_sensor"
        found = list(reader.clouds())
        assert len(found) == reader.n_scans == N
    for index, ((stamp_ns, message), (_, xyz, frame)) in enumerate(zip(found, turns, strict=True)):
        late = 500_000 if clock_ns else 0
        assert abs(stamp_ns - stamp(index) - late) < 1000
        cloud = decode(message)
        np.testing.assert_allclose(cloud.points, xyz, atol=1e-4)
        assert np.count_nonzero(cloud.points.any(axis=1)) == info.h * (info.w - 100)
        wanted = frame.field("REFLECTIVITY").reshape(-1) / 255
        np.testing.assert_allclose(cloud.intensity, wanted, atol=1e-6)
        times = read_point_times(read_layout(message), cloud.points, stamp_ns, TimeFormat())
        assert times.last == pytest.approx(0.0999, abs=2e-4)


def test_ouster_bag_is_labelled_with_its_clouds(tmp_path, ouster):
    topics, _ = ouster_topics(*ouster, 0)
    label(write_bag(tmp_path / "bag", topics), Target(tmp_path / "out"))
    counts = {topic: len(messages) for topic, messages in content(tmp_path / "out").items()}
    assert counts["/ouster/points"] == counts["/mos_node/labeled"] == N
    assert counts["/ouster/lidar_packets"] == len(topics["/ouster/lidar_packets"][1])


def test_ouster_settings_in_a_file(tmp_path, ouster):
    core, info = ouster
    topics, _ = ouster_topics(core, info, 0, with_settings=False)
    bag = write_bag(tmp_path / "bag", topics)
    with pytest.raises(KdmosError, match=r"lidar_packets.*/ouster/metadata.*0 .json files"):
        BagReader(bag, **mounted())
    (bag / "os1.json").write_text(info.to_json_string())
    with BagReader(bag, **mounted()) as reader:
        assert reader.n_scans == N
    (bag / "os1.json").write_text("{}")
    with pytest.raises(KdmosError, match="settings"):
        BagReader(bag, **mounted())


def test_ouster_packets_late_or_lost(tmp_path, ouster, caplog):
    core, info = ouster
    topics, turns = ouster_topics(core, info, 0)
    _, rows = topics["/ouster/lidar_packets"]
    per_turn = len(turns[0][0])
    times = [time for time, _ in rows]
    order = list(range(len(rows)))
    order[per_turn - 1], order[per_turn + 2] = order[per_turn + 2], order[per_turn - 1]
    del order[per_turn + 20]
    rows[:] = [(times[k], rows[i][1]) for k, i in enumerate(order)]
    rows.append((times[-1] + 1, typestore().types[PACKET_MSG](np.zeros(48, np.uint8))))
    with BagReader(write_bag(tmp_path / "bag", topics), **mounted()) as reader:
        found = list(reader.clouds())
    assert len(found) == N
    np.testing.assert_allclose(decode(found[0].message).points, turns[0][1], atol=1e-4)
    lost = decode(found[1].message).points.any(axis=1).sum()
    assert lost == info.h * (info.w - 100 - info.format.columns_per_packet)
    assert any("1 Ouster packets" in r.getMessage() for r in caplog.records)


def test_clouds_of_the_driver_go_before_its_packets(tmp_path):
    """Nothing is decoded, and no library needed, where there are clouds too."""
    topics = drive_topics(N)
    packet = typestore().types[PACKET_MSG](np.zeros(48, np.uint8))
    topics["/ouster/lidar_packets"] = (PACKET_MSG, [(stamp(0), packet)])
    with BagReader(write_bag(tmp_path / "bag", topics)) as reader:
        assert reader.cloud_topic == "/points"
        assert all(t.msgtype != POINT_CLOUD or t.name == "/points" for t in reader._bag.topics)
