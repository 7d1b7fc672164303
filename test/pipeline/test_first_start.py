"""The first start: what a process beside compiles is what labelling calls, and it ends in time."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from kdmos_ros.features.kernels import point_columns
from kdmos_ros.pipeline import first_start

SIGNATURES = """
import json, sys
from numba.core.dispatcher import Dispatcher
from kdmos_ros.pipeline.first_start import needed_last
from kdmos_ros.segmentation.segmenter import Segmenter, default_model

def signatures():
    modules = [m for name, m in list(sys.modules.items()) if name.startswith("kdmos_ros.")]
    kernels = {k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)}
    return {k.py_func.__qualname__: [str(s) for s in k.signatures] for k in kernels}

for compile_some in needed_last():
    compile_some()
before = signatures()
segmenter = Segmenter(default_model(), provider="cpu", num_threads=1)
segmenter.warm_up()
print(json.dumps([before, signatures()]))
"""


def test_the_process_beside_compiles_what_labelling_calls():
    done = subprocess.run([sys.executable, "-c", SIGNATURES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout.splitlines()[-1])
    compiled = {name: kinds for name, kinds in before.items() if kinds}
    assert {"gather", "point_columns", "_look_up", "_lay", "_normal_equations"} <= set(compiled)
    for name, kinds in compiled.items():
        assert set(after[name]) == set(kinds), name


class Slow:
    """Takes as long to load as it takes to see the process beside."""

    def __init__(self, processes):
        self.processes = processes

    def warm_up(self):
        self.seen = [process.poll() for process in self.processes]


@pytest.fixture
def processes(monkeypatch):
    """Those that are started; none of the machine's kernels count as compiled."""
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(first_start.subprocess, "Popen", Popen)
    return started


def test_it_lives_while_the_model_loads(processes, monkeypatch):
    monkeypatch.setattr(first_start, "_on_disk", lambda kernel: False)
    monkeypatch.setattr(first_start, "thread_count", lambda wanted: 2)
    segmenter = Slow(processes)
    first_start.warm_up(segmenter)
    assert segmenter.seen == [None]
    assert processes[0].returncode is not None


@pytest.mark.parametrize(("cores", "compiled"), [(1, False), (2, True)])
def test_none_where_it_does_not_help(processes, monkeypatch, cores, compiled):
    monkeypatch.setattr(first_start, "_on_disk", lambda kernel: compiled)
    monkeypatch.setattr(first_start, "thread_count", lambda wanted: cores)
    first_start.warm_up(Slow(processes))
    assert not processes


def test_it_ends_when_nobody_waits(tmp_path):
    """Its parent, which it is told, is not process 0."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", first_start.__name__, "0"], check=True, env=environment)
    assert not list(tmp_path.rglob("*.nbi"))


def test_kernels_on_disk_are_found(tmp_path):
    at, on = "read_out.gather-24.py311.nbi", "kernels.point_columns-69.py311.nbi"
    (tmp_path / at).touch()
    kernel = SimpleNamespace(
        __module__=point_columns.__module__,
        __name__=point_columns.__name__,
        stats=SimpleNamespace(cache_path=str(tmp_path)),
    )
    assert not first_start._on_disk(kernel)
    (tmp_path / on).touch()
    assert first_start._on_disk(kernel)
