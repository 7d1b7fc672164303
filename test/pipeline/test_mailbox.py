import threading

import pytest

from kdmos_ros.pipeline.mailbox import Mailbox


@pytest.mark.parametrize("size", [0, -1])
def test_size_must_be_positive(size):
    with pytest.raises(ValueError, match="at least 1"):
        Mailbox(size)


def test_newest_wins_and_the_loser_is_returned():
    box = Mailbox()
    assert box.put(1) == []
    assert box.put(2) == [1]
    assert len(box) == 1
    assert box.take() == 2


def test_queue_keeps_order_and_drops_the_oldest():
    box = Mailbox(3)
    assert [box.put(i) for i in range(5)] == [[], [], [], [0], [1]]
    assert [box.take() for _ in range(3)] == [2, 3, 4]


def test_a_smaller_size_drops_what_no_longer_fits():
    box = Mailbox(4)
    for i in range(4):
        box.put(i)
    box.size = 2
    assert len(box) == 4, "nobody is robbed before there is something newer"
    assert box.put(4) == [0, 1, 2]
    box.size = 3
    assert box.put(5) == []
    assert [box.take() for _ in range(3)] == [3, 4, 5]


def test_closing_ends_waiting_and_hands_out_nothing_more():
    box = Mailbox(2)
    found = []
    thread = threading.Thread(target=lambda: found.append(box.take()))
    thread.start()
    box.close()
    thread.join(30)
    assert found == [None]
    box.put(1)
    assert box.take() is None
    assert len(box) == 1


def test_nothing_is_lost_between_threads():
    box = Mailbox(1)
    taken, dropped = [], []
    thread = threading.Thread(target=lambda: taken.extend(iter(box.take, None)))
    thread.start()
    for i in range(2000):
        dropped += box.put(i)
    while len(box):
        pass
    box.close()
    thread.join(30)
    assert sorted(taken + dropped) == list(range(2000))
    assert taken == sorted(taken)


def test_waiting_ends_after_a_while():
    mailbox = Mailbox(2)
    with pytest.raises(TimeoutError):
        mailbox.take(0.01)
    mailbox.put("a")
    assert mailbox.take(0.01) == "a"
    mailbox.close()
    assert mailbox.take(0.01) is None
