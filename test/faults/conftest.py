"""The report of the faults, at the end of `make test-faults`."""

from fault_harness import LONG, REPORT


def pytest_terminal_summary(terminalreporter):
    if LONG and REPORT:
        terminalreporter.section("faults: what was done, how often, what was lost")
        # As docs/faults.md has it.
        for what, number, lost in REPORT:
            terminalreporter.write_line(f"| {what} | {number} | {lost} |")
