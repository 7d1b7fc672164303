"""`kdmos bench --against`: another checkout is run with its own code, in turn with this one."""

import json
import shutil

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")

from kdmos_ros.bench.against import OURS, _rows, compare
from kdmos_ros.cli import main
from kdmos_ros.errors import KdmosError
from kdmos_ros.pipeline.first_start import warm_up
from kdmos_ros.segmentation.segmenter import Segmenter


@pytest.fixture
def drive(tmp_path):
    """A short simulated drive."""
    path = tmp_path / "drive"
    command = ["simulate", str(path), "--sensor", "vlp16", "--duration", "2.4", "--scene", "field"]
    assert main(command) == 0
    return path


@pytest.fixture
def checkout(tmp_path, drive, tiny_model):
    """A copy of the code, with what it has compiled, so that this is not done again."""
    warm_up(Segmenter(tiny_model, provider="cpu", num_threads=1))
    other = tmp_path / "other"
    shutil.copytree(OURS / "kdmos_ros", other / "kdmos_ros")
    (other / "models").symlink_to(OURS / "models")
    shutil.copy(OURS / "package.xml", other)
    return other


@pytest.mark.slow
def test_both_are_timed_with_their_own_code(checkout, drive, tiny_model, tmp_path, capsys):
    out = tmp_path / "against.json"
    # Its figures must be those of its own code.
    file = checkout / "kdmos_ros" / "bench" / "stage_times.py"
    file.write_text(file.read_text().replace("/ 1024\n", "\n"))
    command = ["bench", "--bag", str(drive), "--model", str(tiny_model), "--provider", "cpu"]
    command += ["--precision", "fp32", "--threads", "1", "--rounds", "1", "--json", str(out)]
    assert main([*command, "--against", str(checkout)]) == 0
    ((title, rows),) = json.loads(out.read_text())["against"]["rows"].items()
    assert title.startswith("tiny, CPU, fp32, 1 threads")
    rows = {row["name"]: row for row in rows}
    assert {"decode", "residual", "bev", "total", "first label", "peak memory"} <= set(rows)
    assert 0 < rows["peak memory"]["ratio"] < 0.01
    assert "| total, ms |" in capsys.readouterr().out


def test_the_ratio_is_the_median_of_the_rounds():
    def content(ms):
        p = {"p50": ms, "p99": 2 * ms}
        run = {"model": "m", "provider": "CPUExecutionProvider", "precision": "fp32", "threads": 0}
        run |= {"points": 9, "stages_ms": {"bev": p}, "latency_ms": p, "first_label_s": 1.0}
        return {"runs": [{**run, "peak_memory_mb": 100.0}], "over_dds": []}

    (rows,) = _rows(
        [content(1), content(2), content(9)], [content(2), content(8), content(9)]
    ).values()
    (bev,) = (row for row in rows if row.name == "bev")
    assert (bev.this, bev.other, bev.ratio) == (2, 8, 0.5)


def test_what_cannot_be_compared_is_said(tmp_path):
    with pytest.raises(KdmosError, match=r"not a checkout, it has no kdmos_ros/__init__\.py"):
        compare(tmp_path, [], 1)
    with pytest.raises(KdmosError, match=r"kdmos bench failed: .*none"):
        compare(OURS, ["--bag", str(tmp_path / "none")], 1)
