"""The report of the faults, at the end of `make test-faults`."""

from fault_harness import LONG, REPORT


def pytest_terminal_summary(terminalreporter):
    if LONG and REPORT:
        terminalreporter.section("faults: what was done, how often, what was lost")
        width = max(len(what) for what, _, _ in REPORT)
        for what, number, lost in REPORT:
            terminalreporter.write_line(f"{what:<{width}}  {number:>7}  {lost}")
