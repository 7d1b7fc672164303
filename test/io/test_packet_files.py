"""Recordings of Velodyne and Ouster that no ROS has made: .pcap and .osf."""

import numpy as np
import pytest
from drive_harness import MOUNT, pose, stamp
from test_cloud_folders import seconds, tum
from test_raw_packets import FIRINGS, N, ouster, ouster_turns, vlp16_packets  # noqa: F401

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.io.bag_file import BagError
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.pointcloud.layout import read_layout
from kdmos_ros.pointcloud.point_times import TimeFormat, read_point_times


def write_pcap(path, packets, port):
    """Packets (time in s, bytes) as UDP."""
    dpkt = pytest.importorskip("dpkt")
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, snaplen=65535, nano=True)
        for time, data in packets:
            udp = dpkt.udp.UDP(sport=port, dport=port, data=data)
            udp.ulen = len(udp)
            ip = dpkt.ip.IP(src=b"\x0a\0\0\1", dst=b"\x0a\0\0\2", p=17, data=udp)
            ip.len = len(ip)
            writer.writepkt(dpkt.ethernet.Ethernet(data=ip), ts=time)
    return path


def test_pcap_of_velodyne(tmp_path):
    pytest.importorskip("velodyne_decoder")
    packets = [p for i in range(N) for p in vlp16_packets(stamp(i) * 1e-9)]
    path = write_pcap(tmp_path / "drive.pcap", packets, 2368)
    with pytest.raises(BagError, match=r"no file of poses.*drive\.txt.*--pose-source kiss_icp"):
        BagReader(path)
    times = [seconds(stamp(i)) for i in range(-1, N + 1)]
    (tmp_path / "drive.txt").write_text(tum(times, [pose(i) for i in range(-1, N + 1)]))
    with BagReader(path) as reader:
        assert reader.base_frame == reader.sensor_frame
        found = list(reader.clouds())
        assert len(found) == reader.n_scans == N
        for index, (stamp_ns, message) in enumerate(found):
            assert abs(stamp_ns - stamp(index)) < 2e8
            cloud = decode(message)
            assert abs(len(cloud.points) - 16 * FIRINGS) < 16 * FIRINGS / 20
            np.testing.assert_allclose(np.abs(cloud.points[:, :2]).max(axis=1), 5, atol=0.01)
            times = read_point_times(read_layout(message), cloud.points, stamp_ns, TimeFormat())
            assert 0.09 < times.last - times.first < 0.11
            travelled = reader.poses.at(stamp_ns)[0, 3]
            assert travelled == pytest.approx((stamp_ns - stamp(0)) * 1e-8, abs=0.01)


def test_pcap_of_ouster(tmp_path, ouster):  # noqa: F811
    core, info = ouster
    turns = ouster_turns(core, info, 77_000_000_000)
    packets = [((t - 77_000_000_000 + stamp(0)) * 1e-9, d) for p, _, _ in turns for t, d in p]
    path = write_pcap(tmp_path / "drive.pcap", packets, 7502)
    (tmp_path / "drive.json").write_text(info.to_json_string())
    with BagReader(path, pose_source="kiss_icp", base_T_sensor=MOUNT) as reader:
        found = list(reader.clouds())
        assert len(found) == reader.n_scans == N and "drive.json" in reader.about
    for index, ((stamp_ns, message), (_, xyz, _)) in enumerate(zip(found, turns, strict=True)):
        assert abs(stamp_ns - stamp(index)) < 1e6
        np.testing.assert_allclose(decode(message).points, xyz, atol=1e-4)


def test_osf_with_its_own_poses(tmp_path, ouster):  # noqa: F811
    """As ouster-cli's SLAM writes them."""
    core, info = ouster
    osf = pytest.importorskip("ouster.sdk.osf")
    turns = ouster_turns(core, info, stamp(0))
    with osf.Writer(str(tmp_path / "drive.osf"), info) as writer:
        for index, (_, _, frame) in enumerate(turns):
            frame.body_to_world[:] = pose(index)
            frame.packet_timestamp[:] = stamp(index)
            writer.save(core.FrameSet([frame]))
    with BagReader(tmp_path / "drive.osf") as reader:
        assert reader.base_frame == reader.sensor_frame == "os_sensor"
        found = list(reader.clouds())
        assert len(found) == reader.n_scans == N
        for index, ((stamp_ns, message), (_, xyz, _)) in enumerate(zip(found, turns, strict=True)):
            assert stamp_ns == stamp(index)
            np.testing.assert_allclose(decode(message).points, xyz, atol=1e-4)
            wanted = make_transform(np.eye(3), [index, 0, 0])
            np.testing.assert_allclose(reader.poses.at(stamp_ns), wanted, atol=1e-6)


@pytest.mark.parametrize("size", [1200, 1248, 1080])
def test_pcap_of_another_maker(tmp_path, size):
    pytest.importorskip("velodyne_decoder")
    rows = [(stamp(0) * 1e-9 + k * 1e-3, bytes([k]) * size) for k in range(200)]
    path = write_pcap(tmp_path / "drive.pcap", rows, 6699)
    with pytest.raises(KdmosError, match=r"drive.pcap.*drive.json.*source_type 2.*msg_source 3"):
        BagReader(path)


def test_damaged_files(tmp_path, ouster):  # noqa: F811
    for name in ("a.pcap", "b.osf"):
        (tmp_path / name).write_bytes(b"hello" * 100)
        with pytest.raises(KdmosError, match=name) as error:
            BagReader(tmp_path / name)
        assert "\n" not in str(error.value)
