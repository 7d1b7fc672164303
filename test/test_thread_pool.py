import threading

import pytest

from kdmos_ros.thread_pool import Threads


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_each_row_is_worked_on_once(threads, n):
    done = [0] * n

    def work(rows):
        for i in range(rows.start, rows.stop):
            done[i] += 1

    Threads(threads).in_parts(n, work)
    assert done == [1] * n


@pytest.mark.parametrize("threads", [1, 2])
def test_what_goes_wrong_in_a_thread_is_not_lost(threads):
    def fail(*_):
        raise ZeroDivisionError

    shared = Threads(threads)
    with pytest.raises(ZeroDivisionError):
        shared.in_parts(5, fail)
    with pytest.raises(ZeroDivisionError):
        shared.begin(fail)()
    assert shared.begin(lambda: 7)() == 7


def test_work_goes_on_while_the_caller_does():
    begun, caller = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert caller.wait(30)
        return threading.current_thread()

    result = Threads(2).begin(work)
    assert begun.wait(30)
    caller.set()
    assert result() is not threading.current_thread()
