"""Progress for people: a bar on a terminal, else nothing or a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_LINE_PERIOD_S = 5.0


class _Lines:
    """Writes a bar as lines: launch and log files show nothing of a line before it ends."""

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Every line was."""


def long_task(total: int, what: str) -> Any:
    """tqdm's bar for work that takes minutes; without a terminal, a line every few seconds."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm(total=total, desc=what, dynamic_ncols=True)
    return tqdm(total=total, desc=what, file=_Lines(), ascii=True, ncols=60,
                mininterval=_LINE_PERIOD_S, maxinterval=_LINE_PERIOD_S)  # fmt: skip


def progress(items: Iterable[T], total: int | None, what: str) -> Iterator[T]:
    """Pass the items on and show how many of `total` have come."""
    if not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, total=total, desc=what, unit="scan", leave=False, dynamic_ncols=True)
