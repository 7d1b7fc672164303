"""A stand-in for a node's logger that keeps what it is told."""


class Logger:
    """Keeps lines, and (level, line) entries."""

    def __init__(self):
        self.entries = []

    @property
    def lines(self):
        return [line for _, line in self.entries]

    def info(self, text):
        self.entries.append(("info", text))

    def warning(self, text):
        self.entries.append(("warning", text))

    def error(self, text):
        self.entries.append(("error", text))
