"""Package description for pip and colcon."""

from pathlib import Path

from setuptools import Distribution, find_packages, setup

NAME = "kdmos_ros"
ROOT = Path(__file__).resolve().parent

EXTRAS = {
    # NVIDIA GPUs; see CONTRIBUTING.md for its clash with the CPU build of the base install.
    "gpu": ["onnxruntime-gpu"],
    # INT8 on Intel and AMD CPUs at several times the speed; clashes likewise.
    "openvino": ["onnxruntime-openvino"],
    # ROS 2 Jazzy as wheels, for machines without a ROS 2 install.
    "ros": [
        "ros-rclpy[fastrtps]>=7.1.6,<8",
        "ros-diagnostic-msgs",
        "ros-geometry-msgs",
        "ros-nav-msgs",
        "ros-rosgraph-msgs",
        "ros-sensor-msgs",
        "ros-std-msgs",
        "ros-std-srvs",
        "ros-visualization-msgs",
    ],
    # Poses from the clouds alone: the pose source kiss_icp.
    "kiss": ["kiss-icp>=1.2"],
    # Bags, demo, pictures, `--lidar`.
    "tools": ["rosbags>=0.11.7", "matplotlib", "pillow", "tqdm", "PyYAML"],
    # Clouds in .pcd and .ply files.
    "clouds": ["pypcd4>=1.3", "plyfile"],
    # Raw packets of Velodyne. Those of Ouster need `pip install --no-deps ouster-sdk`: what it
    # requires is a release of rosbags from before 0.11.
    "velodyne": ["velodyne-decoder>=3.1"],
    # Argoverse 2.
    "argoverse": ["pyarrow"],
    # `kdmos view --viewer rerun`
    "view": ["rerun-sdk>=0.23"],
    # Maps as .las and .laz
    "las": ["laspy[lazrs]>=2.5"],
    # Maps as .copc.laz
    "copc": ["laspy[lazrs]>=2.5", "copclib>=2.6"],
    # `scripts/compare_dufomap.py`
    "dufomap": ["dufomap==1.1.1"],
    # `kdmos label --cluster`
    "dask": ["distributed"],
    "train": ["torch", "pydantic>=2.7", "onnx", "onnxscript", "PyYAML", "tensorboard", "tqdm"],
    # `pytest` here is also what makes `colcon test` run pytest.
    "test": [
        "pytest",
        "hypothesis",
        "packaging",
        "catkin_pkg",
        "distributed",
        "laspy[lazrs]>=2.5",
        "transforms3d",
        'copclib>=2.6; platform_machine == "x86_64"',  # elsewhere its test skips
        'kiss-icp>=1.2; platform_machine == "x86_64"',  # elsewhere its tests skip
    ],
    "dev": [
        "build",
        "codespell",
        "import-linter",
        "mkdocs",
        "mypy",
        "pre-commit",
        "ruff",
        "types-PyYAML",
    ],
}


class DistributionWithData(Distribution):
    """Lets `pip install -e` install data_files too: setuptools asks a method that it lacks."""

    def has_data(self):
        return bool(self.data_files)


def shared_files(*folders):
    """Every file under `folders`, as data_files entries that keep the folder structure."""
    entries = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                relative = path.relative_to(ROOT)
                target = f"share/{NAME}/{relative.parent.as_posix()}"
                entries.setdefault(target, []).append(relative.as_posix())
    return list(entries.items())


setup(
    distclass=DistributionWithData,
    name=NAME,
    version="0.2.0",
    description="Finds moving objects in LiDAR scans, in real time, as a ROS 2 node",
    author="kdmos_ros developers",
    # A placeholder, as in package.xml. colcon ignores a package whose address is not valid.
    maintainer="TODO: name of the maintainer",
    maintainer_email="todo@example.org",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={"": ["*.yaml", "*.json", "py.typed"], f"{NAME}.inference": ["graphs/*.onnx"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        # Where `ros2 run` and launch look, whichever tool installs the package. pip ignores
        # setup.cfg's install_scripts, so these are plain executable files.
        (f"lib/{NAME}", ["scripts/mos_node"]),
        *shared_files("launch", "config", "models"),
    ],
    install_requires=["numpy>=1.21", "numba", "onnxruntime"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["kdmos = kdmos_ros.cli:main"]},
    zip_safe=False,
)
