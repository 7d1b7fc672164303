"""`kdmos label` as a user runs it: one bag, several, on a cluster, and stopped by signals."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from cli_harness import failure
from drive_harness import drive_topics, pose, stamp, write_bag, write_drive
from label_harness import content

from kdmos_ros import cli
from kdmos_ros.io.bag_file import TF
from kdmos_ros.io.bag_messages import transform_message
from kdmos_ros.labelling import many
from kdmos_ros.labelling.interrupt import Interrupt
from kdmos_ros.labelling.many import Job, Result, run_job, run_processes


def kdmos(*arguments):
    return [sys.executable, "-m", "kdmos_ros.cli", *map(str, arguments)]


def test_one_bag(capsys, tiny_model, tmp_path):
    bag = write_drive(tmp_path / "bag", 4)
    assert cli.main(["label", str(bag), "--model", str(tiny_model)]) == 0
    assert "bag_labeled: 4 of 4 scans labelled" in capsys.readouterr().out
    assert len(content(tmp_path / "bag_labeled")["/mos_node/labeled"]) == 4
    assert cli.main(["label", str(bag), "--model", str(tiny_model), "--resume"]) == 0
    assert "complete already" in capsys.readouterr().out


def test_what_could_not_be_labelled_is_listed(capsys, tiny_model, tmp_path):
    from drive_harness import MOUNT, cloud, odometry

    from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD

    bag = write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(i), cloud(i)) for i in range(5)]),
            "/odom": (ODOMETRY, [(stamp(i), odometry(i)) for i in range(1, 4)]),
        },
    )
    mount = "--base-to-lidar=" + ",".join(f"{v:g}" for v in MOUNT[:3, 3])
    labels = tmp_path / "labels"
    arguments = ["label", bag, "--semantickitti", labels, "--model", tiny_model, mount]
    assert cli.main([str(a) for a in arguments]) == 0
    assert "not labelled: 1 pose_timeout, 1 pose_too_old" in capsys.readouterr().out
    assert len(list(labels.glob("*.label"))) == 5


@pytest.mark.slow
def test_stopped_by_a_signal_and_taken_up(tiny_model, tmp_path):
    bag = write_drive(tmp_path / "bag", 150, 20_000)
    whole = ["label", bag, tmp_path / "whole", "--model", tiny_model, "--threads", "1"]
    part = ["label", bag, tmp_path / "part", "--model", tiny_model, "--threads", "1"]
    process = subprocess.Popen(kdmos(*part), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".part.*/part/part.mcap")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "kdmos: interrupted after " in err and "--resume continues" in err
    done = len(content(tmp_path / "part")["/mos_node/labeled"])
    assert 0 < done < 150
    assert (tmp_path / "part.partial.json").exists()
    assert cli.main([*map(str, part), "--resume"]) == 0
    assert cli.main([*map(str, whole)]) == 0
    assert content(tmp_path / "part") == content(tmp_path / "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag", "part", "whole"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["label"],
        ["label", "bag", "--voxel", "0"],
        ["label", "bag", "--map", "m.ply", "--drop-moving"],
        ["label", "bag", "--jobs", "0"],
        ["label", "bag", "--cluster", "abacus"],
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments):
    assert "--help" in failure(capsys, *arguments)


def test_failures_are_one_line_and_leave_nothing(capsys, tiny_model, tmp_path):
    model = ["--model", tiny_model]
    bag = write_drive(tmp_path / "bag", 2)
    assert "no such bag" in failure(capsys, "label", tmp_path / "none", *model)
    assert "no_such_model" in failure(capsys, "label", bag, "--model", "no_such_model")
    assert "exists already" in failure(capsys, "label", bag, bag, *model)
    assert "--out-dir" in failure(capsys, "label", bag, bag, bag, *model)
    assert "--out-dir" in failure(capsys, "label", bag, "--jobs", "2", *model)
    assert ".las or .laz" in failure(capsys, "label", bag, "--map", tmp_path / "m.xyz", *model)
    assert "/points already" in failure(
        capsys, "label", bag, tmp_path / "o", "--topic", "points", *model
    )
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


# Several


@pytest.fixture
def three(tmp_path):
    """Two bags and something that is none."""
    bags = [write_drive(tmp_path / name, 3) for name in ("a", "b")]
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"no bag")
    return [bags[0], broken, bags[1]]


def check_two_of_three(out):
    assert sorted(p.name for p in out.iterdir()) == ["a", "b"]
    for name in ("a", "b"):
        assert len(content(out / name)["/mos_node/labeled"]) == 3


@pytest.mark.slow
def test_one_bad_bag_does_not_stop_the_others(capsys, three, tiny_model, tmp_path):
    arguments = ["label", *three, "--out-dir", tmp_path / "out", "--jobs", "2"]
    assert cli.main([str(a) for a in (*arguments, "--model", tiny_model)]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("3 of 3 scans labelled") == 2
    first, last = captured.err.splitlines()
    assert "broken: failed: cannot read bag" in first
    assert last == "kdmos: error: 1 of 3 bags failed: broken"
    check_two_of_three(tmp_path / "out")


@pytest.mark.slow
def test_options_reach_every_bag(tiny_model, tmp_path):
    bags = [write_drive(tmp_path / n / "bag", 2) for n in ("a", "b")]  # named alike
    out = tmp_path / "out"
    common = ["--out-dir", out, "--model", tiny_model, "--base-to-lidar=0.5,0,1.8"]
    arguments = ["label", *bags, "--map", "m.ply", "--voxel", "0.5", "--cloud", "points", *common]
    assert cli.main([str(a) for a in arguments]) == 0
    maps = [(out / f"{n}_bag" / "m.ply").read_bytes() for n in ("a", "b")]
    assert maps[0] == maps[1]
    arguments = ["label", *bags, "--semantickitti", "labels", "--odom", "odom", *common]
    assert cli.main([str(a) for a in arguments]) == 0
    assert len(list((out / "b_bag" / "labels").iterdir())) == 2


def test_names_that_cannot_be_told_apart(capsys, tmp_path):
    bag = write_drive(tmp_path / "bag", 1)
    assert "one by one" in failure(capsys, "label", bag, bag, "--out-dir", tmp_path / "out")
    text = failure(capsys, "label", bag, "--map", "/m.ply", "--out-dir", tmp_path / "out")
    assert "inside the folder" in text


def test_a_process_that_dies_is_a_failed_job(monkeypatch):
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(many, "_COMMAND", (sys.executable, "-c"))
    result = run_job(Job("x", (script,)))
    assert result.status != 0 and "signal 9" in result.text


def test_running_processes_are_told_and_waited_for(monkeypatch, tmp_path):
    script = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): print('saved', file=sys.stderr); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(tmp_path)!r}, 'up').touch()\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(many, "_COMMAND", (sys.executable, "-c"))
    interrupt, results = Interrupt(), []

    def stop():
        while not (tmp_path / "up").exists():
            time.sleep(0.02)
        interrupt.signal = signal.SIGTERM

    threading.Thread(target=stop, daemon=True).start()
    jobs = [Job("first", (script,)), Job("second", (script,))]
    run_processes(jobs, 1, interrupt, results.append)
    assert sorted((r.name, r.status, r.text) for r in results) == [
        ("first", 143, "saved"),
        ("second", 143, "not begun"),
    ]


def test_missing_engine_is_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    bag = write_drive(tmp_path / "bag", 1)
    text = failure(capsys, "label", bag, "--out-dir", tmp_path / "out", "--cluster", "dask")
    assert "pip install 'kdmos_ros[dask]'" in text


@pytest.mark.slow
def test_on_a_dask_cluster(capsys, three, tiny_model, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster:
        arguments = ["label", *three, "--out-dir", tmp_path / "out", "--cluster", "dask"]
        arguments += ["--scheduler", cluster.scheduler_address, "--model", tiny_model]
        assert cli.main([str(a) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("3 of 3 scans labelled") == 2
    assert "kdmos: error: 1 of 3 bags failed: broken" in captured.err
    check_two_of_three(tmp_path / "out")


def test_no_cluster_at_the_address(capsys, monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr("kdmos_ros.labelling.cluster._TIMEOUT_S", 0.5)
    bag, address = write_drive(tmp_path / "bag", 1), "tcp://127.0.0.1:9"
    arguments = ["label", bag, "--out-dir", tmp_path / "out", "--cluster", "dask"]
    assert f"no Dask cluster at {address}" in failure(capsys, *arguments, "--scheduler", address)


def test_a_job_that_the_cluster_loses_is_a_failed_one(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    from kdmos_ros.labelling import cluster

    def lost(job):
        if job.name == "b":
            raise MemoryError("worker died")
        return Result(job.name, 0, "well")

    monkeypatch.setattr(cluster, "run_job", lost)
    results = []
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as local:
        jobs = [Job(name, ()) for name in "abc"]
        cluster.run_on_dask(local.scheduler_address, jobs, results.append)
    assert sorted((r.name, r.status) for r in results) == [("a", 0), ("b", 1), ("c", 0)]
    assert "lost by the cluster: worker died" in {r.text for r in results}


@pytest.mark.slow
def test_a_bag_without_odometry(capsys, real_data, tiny_model, tmp_path):
    """KISS-ICP gives the poses, for the labels and for the pictures."""
    pytest.importorskip("kiss_icp", reason="kiss-icp is not installed")
    from kdmos_ros.io.bag_file import BagFile
    from kdmos_ros.io.bag_writer import BagWriter

    with (
        BagFile(real_data / "kitti_0048" / "bag") as bag,
        BagWriter(tmp_path / "bag", compress=False) as writer,
    ):
        topics = ("/velodyne_points", "/tf_static")
        for connection in bag.connections:
            if connection.topic in topics:
                writer.copy_topic(connection)
        for number, message in enumerate(bag.messages(topics)):
            if number < 8:
                writer.write_raw(message.topic, message.stamp_ns, message.data)
    model = ["--model", str(tiny_model)]
    chosen = ["--pose-source", "odometry"]
    assert "Odometry" in failure(capsys, "label", tmp_path / "bag", *model, *chosen)
    assert cli.main(["label", str(tmp_path / "bag"), str(tmp_path / "out"), *model]) == 0
    assert "KISS-ICP makes poses from the clouds" in capsys.readouterr().err
    assert len(content(tmp_path / "out")["/mos_node/labeled"]) >= 6
    picture = tmp_path / "a.png"
    assert cli.main(["view", str(tmp_path / "out"), "--out", str(picture), *model]) == 0
    assert picture.stat().st_size > 10_000


@pytest.mark.slow
def test_real_clip_goes_on_with_equal_labels(real_data, tiny_model):
    """The real segmenter on real scans: labels after a stop are those of a whole run."""
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.pipeline.replay import replay
    from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
    from kdmos_ros.segmentation.segmenter import Segmenter

    with BagReader(real_data / "kitti_0048" / "bag") as bag:
        segmenter = Segmenter(tiny_model, num_threads=1)
        whole = {s.index: s.labels for s in replay(bag, OnlineSegmenter(segmenter))}
        for start in (15, 21):
            for scan in replay(bag, OnlineSegmenter(segmenter), start=start):
                if not scan.skipped:
                    np.testing.assert_array_equal(scan.labels, whole[scan.index])


def test_poses_from_tf(tiny_model, tmp_path, capsys):
    topics = drive_topics(4)
    del topics["/odom"]
    links = [transform_message(stamp(i), "map", "base_link", pose(i)) for i in range(4)]
    topics["/tf"] = (TF, [(stamp(i), link) for i, link in enumerate(links)])
    bag = write_bag(tmp_path / "bag", topics)
    options = ["--model", str(tiny_model), "--pose-source", "tf", "--fixed-frame", "map"]
    assert cli.main(["label", str(bag), str(tmp_path / "out"), *options]) == 0
    assert "4 of 4 scans labelled" in capsys.readouterr().out
