"""Raw packets that are not decoded here: whose they are, and what makes clouds of them."""

from __future__ import annotations

_HESAI = "HesaiLidar_ROS_2.0 with source_type 3 (packet rosbag)"
_NEBULA = "Nebula with launch_hw:=false"
_PLAY = "play the bag with {} running, record its clouds, and use that bag"

_CONVERTERS = {
    "hesai_ros_driver": ("Hesai", _HESAI),
    "hesai_lidar": ("Hesai", "HesaiLidar_General_ROS with data_type rosbag"),
    "pandar_msgs": ("Hesai", _NEBULA),
    "nebula_msgs": ("Nebula", _NEBULA),
    "robosense_msgs": ("RoboSense", _NEBULA),
    "velodyne_msgs": ("Velodyne, one a message", "velodyne_pointcloud"),
    "rslidar_msg": ("RoboSense", "rslidar_sdk with msg_source 2 and send_point_cloud_ros true"),
    "rslidar_msgs": ("RoboSense", "rslidar_sdk with msg_source 2 and send_point_cloud_ros true"),
}
_KINDS = {
    *("UdpFrame", "UdpPacket", "PandarScan", "PandarPacket", "NebulaPackets", "NebulaPacket"),
    *("RobosenseScan", "RobosensePacket", "RslidarPacket", "RslidarScan"),
    *("rslidarPacket", "rslidarScan", "VelodynePacket"),
}


def converter(msgtype: str) -> str:
    """What to do with raw packets of a type, one line; empty: it is none of them."""
    package, _, name = msgtype.partition("/msg/")
    if package not in _CONVERTERS or name not in _KINDS:
        return ""
    maker, driver = _CONVERTERS[package]
    return f"raw packets of {maker}, which are not decoded here: {_PLAY.format(driver)}"
