"""Memory does not grow with the scans."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from kdmos_ros.pipeline import memory
from kdmos_ros.pipeline.memory import return_free_memory

pytestmark = pytest.mark.slow

STATUS = Path("/proc/self/status")
ROOT = Path(__file__).resolve().parents[2]


def own_memory_mb(kind="RssAnon"):
    """Memory of this process that no file stands behind; or that one does: RssFile."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith(kind))
    return int(line.split()[1]) / 1024


PUSH_HUNDREDS = """
import sys
from pathlib import Path

import numpy as np

from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmenter

segmenter = Segmenter(Path(sys.argv[1]), provider="cpu", num_threads=2)
rng = np.random.default_rng(0)

def push(first, last):
    for i in range(first, last):
        n = int(rng.integers(2000, 20000))
        points = (rng.uniform(-1, 1, (n, 3)) * [40, 40, 3]).astype(np.float32)
        segmenter.push(Scan(points, None, 100_000_000 * i, from_pose([i, 0, 0], [0, 0, 0, 1])))
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("RssAnon")))

push(0, 120)
push(120, 400)
"""


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_hundreds_of_scans_of_changing_size_leave_nothing_behind(tiny_model):
    """One kept image a scan would be 150 MB; one shape a scan kept by the runtime, tens."""
    # In a process of its own: in this one, other tests have left a heap full of holes.
    command = [sys.executable, "-c", PUSH_HUNDREDS, str(tiny_model)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    before, after = (int(kilobytes) / 1024 for kilobytes in found.stdout.split())
    assert after - before < 16, found.stdout


def test_the_node_loads_no_heavy_library():
    """What only training, pictures or bags need must not weigh on the node."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    heavy = ["matplotlib", "PIL", "rosbags", "torch", "pandas", "kiss_icp", "rerun", "tqdm"]
    code = (
        "import sys, kdmos_ros.ros.node, kdmos_ros.segmentation.segmenter\n"
        f"print(*sorted(set({heavy}) & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


FREED = """
import sys
sys.path[:0] = ["test/harnesses", "test/segmentation"]
import numpy as np
from kdmos_ros.pipeline.memory import return_free_memory, share_one_heap
from test_memory import own_memory_mb

share_one_heap()
keep, blocks = [], []
for _ in range(2000):
    blocks.append(np.ones(20_000, np.uint8))  # too small for mappings of their own
    keep.append(np.ones(2000, np.uint8))  # on top of each, so that the heap cannot shrink
before = own_memory_mb()
del blocks
return_free_memory()
print(before - own_memory_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_freed_memory_goes_back_to_the_system():
    # In a process of its own: in this one, other tests have left a heap full of holes.
    command = [sys.executable, "-c", FREED]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(found.stdout) > 20


def test_another_c_library_has_nothing_to_call(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    return_free_memory()


LIBRARIES = """
import sys
sys.path[:0] = ["test/harnesses", "test/segmentation"]
from numba import njit
from kdmos_ros.pipeline import memory
from test_memory import own_memory_mb

assert njit(lambda x: x + 1)(1) == 2
before = own_memory_mb("RssFile")
memory.return_free_memory()
after = own_memory_mb("RssFile")
assert njit(lambda x: x * 3.0)(2.0) == 6.0, "what was let go of comes back"
print(before - after, own_memory_mb("RssFile") - after)
"""


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_pages_of_libraries_that_only_starting_needs_are_let_go_of():
    found = subprocess.run(
        [sys.executable, "-c", LIBRARIES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    let_go, came_back = map(float, found.stdout.split())
    assert let_go > 30 and came_back > 1


def test_where_there_is_no_list_of_mappings_nothing_is_let_go_of(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_MAPPINGS", tmp_path / "smaps")
    assert list(memory._unchanged_library_pages()) == []


def test_only_unchanged_mappings_of_files_are_let_go_of(monkeypatch, tmp_path):
    """Written pages of a private mapping exist nowhere else."""

    def mapping(first, permissions, anonymous_kb, path=""):
        head = f"{first:x}000-{first + 2:x}000 {permissions} 00000000 08:01 17 {path}".rstrip()
        return f"{head}\nSize: 8 kB\nAnonymous: {anonymous_kb} kB\nVmFlags: rd mr mw me\n"

    smaps = tmp_path / "smaps"
    smaps.write_text(
        mapping(0x10, "r-xp", 0, "/usr/lib/a b.so") + mapping(0x20, "r--p", 4, "/usr/lib/a.so")
        + mapping(0x30, "rw-p", 0, "/usr/lib/a.so") + mapping(0x40, "r--p", 0)
        + mapping(0x50, "rw-s", 0, "/dev/shm/f") + mapping(0x60, "r-xp", 0, "[vdso]")
        + mapping(0x70, "r--p", 0, "/usr/lib/b.so")
    )  # fmt: skip
    monkeypatch.setattr(memory, "_MAPPINGS", smaps)
    assert list(memory._unchanged_library_pages()) == [(0x10000, 0x2000), (0x70000, 0x2000)]
