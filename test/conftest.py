"""What all tests share: isolation of ROS 2 from the rest of the machine, and the real clips."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Not pytest's option `pythonpath`, which Humble's pytest 6 does not have.
sys.path.insert(0, str(ROOT / "test" / "harnesses"))
# test/ros compares with what test/pipeline drives, also where it is collected alone.
sys.path.insert(1, str(ROOT / "test" / "pipeline"))

from cli_harness import drive  # noqa: E402, F401  # a fixture
from eval_harness import ForwardSegmenter, write_data_set  # noqa: E402

from kdmos_ros.sessions.ros_domain import own_domain  # noqa: E402

# No other participant may see the tests, also not those of another run, and none of the machine's
# may reach them.
ISOLATION = {
    "ROS_DOMAIN_ID": str(own_domain()),
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    # Two names, old and new, for the profile that lets whole scans through shared memory.
    "FASTRTPS_DEFAULT_PROFILES_FILE": str(ROOT / "config" / "fastdds_profile.xml"),
    "FASTDDS_DEFAULT_PROFILES_FILE": str(ROOT / "config" / "fastdds_profile.xml"),
}
if os.environ.get("ROS_DISTRO") == "humble":
    ISOLATION["ROS_LOCALHOST_ONLY"] = "1"  # newer releases warn about it at every start

try:
    from hypothesis import settings
except ImportError:  # the tests that need it say so themselves
    pass
else:
    # A busy machine is no failure, hence no deadline.
    settings.register_profile("kdmos_ros", deadline=None)
    settings.load_profile("kdmos_ros")


def pytest_configure(config):
    # A background job of a shell ignores ^C, and so would the processes that tests interrupt.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    log_dir = tempfile.mkdtemp(prefix="kdmos_ros_log_")
    config.add_cleanup(lambda: shutil.rmtree(log_dir, ignore_errors=True))
    os.environ.update(ISOLATION, ROS_LOG_DIR=log_dir)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips (kitti_0005 and others): `$KDMOS_DATA`, else `../shared/data`."""
    named = os.environ.get("KDMOS_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    if named:
        pytest.fail(f"KDMOS_DATA is {named}, which is not a folder")
    pytest.skip(f"real clips are not there: {folder} (or name their folder in KDMOS_DATA)")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A real but tiny model folder with random weights."""
    pytest.importorskip("torch", reason="a tiny model is exported with torch")
    from tiny_model_harness import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def other_tiny_model(tmp_path_factory) -> Path:
    """As tiny_model, with other weights."""
    pytest.importorskip("torch", reason="a tiny model is exported with torch")
    from tiny_model_harness import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory):
    """A finished run of config/train/toy.yaml: recipe, work folder, model folder. Read only."""
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.train.config.recipe import load_recipe
    from kdmos_ros.train.stages import train

    recipe = load_recipe(ROOT / "config" / "train" / "toy.yaml")
    work = tmp_path_factory.mktemp("toy")
    train(recipe, "kdmos train toy.yaml", work, work / "model")
    return recipe, work, work / "model"


@pytest.fixture(scope="session")
def lookahead_model(tmp_path_factory) -> Path:
    """As tiny_model, but knows later scans; its labels mean nothing, but depend on them."""
    pytest.importorskip("torch", reason="making a model needs torch")
    from lookahead_harness import BOTH
    from tiny_model_harness import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("models") / "lookahead", features=BOTH)


@pytest.fixture
def mos_root(tmp_path):
    """A data set in the benchmark's layout: `eval_bench.points` and `eval_bench.truth`."""
    return write_data_set(tmp_path / "kitti")


@pytest.fixture
def forward_segmenter(monkeypatch):
    """Stands in for the model of `kdmos eval`."""
    forward = ForwardSegmenter()
    monkeypatch.setattr("kdmos_ros.commands.eval.make_segmenter", lambda args: forward)
    return forward


@pytest.fixture(params=["stand_in", "tf2_ros"])
def tf_library(request, monkeypatch):
    """The real tf2_ros where it is installed, and a stand-in with its rules."""
    if request.param == "stand_in":
        import tf_stand_in

        tf_stand_in.install(monkeypatch)
    else:
        pytest.importorskip("tf2_ros", reason="tf2_ros is not installed")
