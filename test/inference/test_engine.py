"""How the graphs are fed: few shapes, and rows of the past never reach a result."""

import numpy as np
import pytest
from tiny_model_harness import make_tiny_model

from kdmos_ros.features.extractor import FeatureFrame
from kdmos_ros.inference import engine as module
from kdmos_ros.inference.engine import Engine

pytest.importorskip("torch", reason="a tiny model is exported with torch")


def frame(spec, n, seed):
    rng = np.random.default_rng(seed)
    cell = np.sort(rng.integers(0, spec.grid.n_cells, n)).astype(np.int32)
    occupied, slot = np.unique(cell, return_inverse=True)
    return FeatureFrame(
        index=np.arange(n),
        point=rng.normal(size=(n, spec.features.n_point)).astype(np.float32),
        cell=cell,
        slot=slot.astype(np.int32),
        z_bin=rng.integers(0, spec.grid.n_z, n).astype(np.int32),
        occupied=occupied.astype(np.int64),
        motion_rows=rng.random((spec.grid.n_cells // 2, spec.features.n_motion), np.float32),
        motion_row=rng.integers(0, spec.grid.n_cells // 2, spec.grid.n_cells, np.int64),
        n_points=n,
        n_past=1,
    )


class Spy:
    """Notes the shapes that a session gets."""

    def __init__(self, session):
        self.session, self.shapes = session, []

    def run(self, outputs, feeds):
        self.shapes.append({name: value.shape for name, value in feeds.items()})
        return self.session.run(outputs, feeds)


@pytest.fixture
def engine(tiny_model, monkeypatch):
    monkeypatch.setattr(module, "_POINTS_STEP", 100)
    monkeypatch.setattr(module, "_CELLS_STEP", 50)
    return Engine(tiny_model, "cpu", 1)


def test_a_runtime_sees_few_shapes(engine):
    engine._encoder, engine._bev = Spy(engine._encoder), Spy(engine._bev)
    for n in (1, 99, 100, 101, 250):
        engine.run(frame(engine.spec, n, n), {})
    assert [s["point_features"][0] for s in engine._encoder.shapes] == [100, 100, 100, 200, 300]
    assert {s["cells"][0] % 50 for s in engine._bev.shapes} == {0}


def test_rows_of_the_past_reach_no_result(engine, tiny_model, monkeypatch):
    for n in (290, 30, 170, 200, 1):
        this = frame(engine.spec, n, n)
        got = engine.run(this, {})
        monkeypatch.setattr(module, "_POINTS_STEP", 1)
        monkeypatch.setattr(module, "_CELLS_STEP", 1)
        expected = Engine(tiny_model, "cpu", 1).run(this, {})
        assert got.logits.shape == (len(this.occupied), engine.spec.grid.n_z, 4)
        np.testing.assert_allclose(got.logits, expected.logits, atol=1e-4)
        assert got.query.shape == (n, 0) and got.key.shape == (len(this.occupied), 0)


def test_points_and_cells_are_asked_in_blocks_too(tmp_path, monkeypatch):
    folder = make_tiny_model(tmp_path / "m", query_width=5)
    this = frame(Engine(folder, "cpu", 1).spec, 290, 1)
    expected = Engine(folder, "cpu", 1).run(this, {})
    assert expected.query.shape == (290, 5) and expected.query.std() > 0
    assert expected.key.shape == (len(this.occupied), 5)
    monkeypatch.setattr(module, "_POINTS_BLOCK", 64)
    got = Engine(folder, "cpu", 1).run(this, {})
    np.testing.assert_allclose(got.query, expected.query, atol=1e-5)
    np.testing.assert_allclose(got.key, expected.key, atol=1e-4)


def test_inputs_of_the_grid_network_are_those_of_the_frame_alone(engine):
    engine.run(frame(engine.spec, 290, 1), {})
    this = frame(engine.spec, 30, 2)
    inputs = engine.bev_inputs(this)
    np.testing.assert_array_equal(inputs["cells"], this.occupied)
    occupied = np.flatnonzero(inputs["appearance"].any(axis=1))
    assert set(occupied) <= set(this.occupied)
