"""How far a long task is, where nobody watches a terminal."""

import pytest

pytest.importorskip("tqdm", reason="tqdm is not installed")

from kdmos_ros import progress


@pytest.fixture
def each_step(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_PERIOD_S", 0.0)


def test_a_file_gets_whole_lines(each_step, capsys):
    with progress.long_task(3, "simulate") as bar:
        for _ in range(3):
            bar.update()
    text = capsys.readouterr().err
    assert "\r" not in text and text.endswith("\n")
    assert "3/3" in text.splitlines()[-1]
    assert all(line.startswith("simulate: ") for line in text.splitlines())


def test_lines_are_rare(capsys):
    with progress.long_task(1000, "simulate") as bar:
        for _ in range(1000):
            bar.update()
    assert len(capsys.readouterr().err.splitlines()) < 10
