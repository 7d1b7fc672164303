import threading

import pytest
from logger_harness import Logger

from kdmos_ros.errors import ModelError
from kdmos_ros.pipeline.model_reload import Reloader


class Bench:
    def __init__(self):
        self.parameters = {"model": "a", "provider": "cpu", "precision": "auto",
                           "provider_options": "", "footprint": "auto",
                           "num_threads": 0, "lookahead": 0, "other": 1}  # fmt: skip
        self.loaded, self.used, self.log = [], [], Logger()
        self.gate, self.problem = threading.Event(), None
        self.gate.set()
        self.reloader = Reloader(
            self.parameters, self.load, self.used.append, self.parameters.update, self.log
        )

    def load(self, parameters):
        self.gate.wait()
        self.loaded.append(parameters)
        if self.problem:
            raise self.problem
        return f"segmenter {parameters['model']}"

    def settle(self):
        self.reloader.check()
        while self.reloader.loading:
            self.reloader._thread.join()
            self.reloader.check()


def test_nothing_changes_unless_asked():
    bench = Bench()
    bench.settle()
    bench.parameters["other"] = 2
    bench.settle()
    assert bench.loaded == []


@pytest.mark.parametrize(("name", "value"), [("model", "b"), ("provider", "cuda"),
                                             ("precision", "int8"),
                                             ("provider_options", "device=1"),
                                             ("num_threads", 3), ("lookahead", 2),
                                             ("footprint", "none")])  # fmt: skip
def test_change_is_loaded_and_used_once(name, value):
    bench = Bench()
    bench.parameters[name] = value
    bench.settle()
    bench.settle()
    assert [p[name] for p in bench.loaded] == [value]
    assert bench.used == [f"segmenter {bench.parameters['model']}"]
    assert bench.reloader.failure == ""


@pytest.mark.parametrize("problem", [ModelError("damaged"), ZeroDivisionError("bug")])
def test_failure_keeps_the_old_one_and_sets_the_parameters_back(problem):
    bench = Bench()
    bench.problem = problem
    bench.parameters["model"] = "b"
    bench.settle()
    assert bench.used == []
    assert bench.parameters["model"] == "a"
    assert str(problem) in bench.reloader.failure
    assert str(problem) in bench.log.lines[-1]
    bench.settle()
    bench.problem = None
    bench.parameters["model"] = "b"
    bench.settle()
    assert bench.used == ["segmenter b"], "the same may be tried again"
    assert bench.reloader.failure == ""


def test_what_failed_is_not_tried_forever_if_it_cannot_be_set_back():
    bench = Bench()
    bench.reloader._restore = lambda values: None
    bench.problem = ModelError("damaged")
    bench.parameters["model"] = "b"
    for _ in range(3):
        bench.settle()
    assert len(bench.loaded) == 1


def test_callbacks_go_on_while_it_loads_and_the_last_wish_wins():
    bench = Bench()
    bench.gate.clear()
    bench.parameters["model"] = "b"
    bench.reloader.check()
    assert bench.reloader.loading
    bench.parameters["model"] = "c"
    bench.reloader.check()
    assert bench.loaded == []
    bench.gate.set()
    bench.settle()
    assert bench.used == ["segmenter b", "segmenter c"]


def test_what_comes_too_late_is_not_used():
    bench = Bench()
    bench.gate.clear()
    bench.parameters["model"] = "b"
    bench.reloader.check()
    bench.reloader._closed = True
    bench.gate.set()
    bench.reloader.close()
    assert bench.loaded
    assert bench.used == []
