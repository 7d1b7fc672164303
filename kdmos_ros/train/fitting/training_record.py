"""What a run tells: log.jsonl, TensorBoard, and a progress bar or lines for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

LOG = "log.jsonl"


class Silent:
    """A record that keeps nothing, for all processes but the first."""

    def step(self) -> None:
        """One more step is done."""

    def scalars(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """Metrics of a step."""

    def close(self) -> None:
        """The end of the run."""


class Record(Silent):
    """Keeps the metrics of a run in a folder and shows its progress.

    What an earlier run wrote after `done` steps is forgotten: those steps are done again.

    Args:
        name: shown beside the progress.
        done, steps: steps done already, and steps in all.
    """

    def __init__(self, folder: Path, name: str, done: int, steps: int) -> None:
        self._name = name
        path = folder / LOG
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= done]
        path.write_text("".join(kept), encoding="utf-8")
        self._log = open(path, "a", encoding="utf-8")  # noqa: SIM115
        self._board = _open_board(folder / "tensorboard", done)
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=steps, initial=done, desc=name, unit="step", dynamic_ncols=True)

    def step(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def scalars(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        print(json.dumps({"step": step, **values}), file=self._log, flush=True)
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(key, value, step)
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{values['loss']:.4f}")
        else:
            print(f"{self._name}: step {step}/{steps} loss {values['loss']:.4f}", flush=True)

    def close(self) -> None:
        self._log.close()
        if self._board is not None:
            self._board.close()
        if self._bar is not None:
            self._bar.close()


def _lines(path: Path) -> list[str]:
    """Whole lines of a log; a line that was cut off is not one."""
    if not path.exists():
        return []
    return [x for x in path.read_text(encoding="utf-8").splitlines(True) if x.endswith("}\n")]


def _open_board(folder: Path, done: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # the log has the same metrics
        return None
    return SummaryWriter(str(folder), purge_step=done + 1)
