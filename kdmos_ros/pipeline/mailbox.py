"""A bounded hand-over between two threads in which the newest items win."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """First in, first out; when it is full, the oldest item makes room for the new one.

    Args:
        size: 1 keeps only the newest item (live use); more lets a slower reader catch up
            (processing a bag). May change at any time: it counts from the next `put` on.
    """

    def __init__(self, size: int = 1) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1: {size}")
        self.size = size
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> list[Item]:
        """Add an item and return those that had to go, oldest first. Never blocks."""
        with self._changed:
            surplus = max(0, len(self._items) + 1 - self.size)
            dropped = [self._items.popleft() for _ in range(surplus)]
            self._items.append(item)
            self._changed.notify()
            return dropped

    def take(self, timeout_s: float | None = None) -> Item | None:
        """Wait for the oldest item and return it; None once the mailbox is closed.

        Raises:
            TimeoutError: there is none for so long.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._items or self._closed, timeout_s):
                raise TimeoutError
            return None if self._closed else self._items.popleft()

    def close(self) -> None:
        """End all waiting; what is still in the mailbox is not handed out any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
