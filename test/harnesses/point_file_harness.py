"""Reads point files by their own headers."""

import numpy as np


def read(path):
    """Columns of a .pcd or .ply file, as a structured array."""
    raw = path.read_bytes()
    end = b"DATA binary\n" if path.suffix == ".pcd" else b"end_header\n"
    header, _, body = raw.partition(end)
    lines = header.decode().splitlines()
    if path.suffix == ".pcd":
        found = {line.split()[0]: line.split()[1:] for line in lines if line[0] != "#"}
        assert found["HEIGHT"] == ["1"] and found["POINTS"] == found["WIDTH"]
        n = int(found["POINTS"][0])
        columns = zip(found["FIELDS"], found["TYPE"], found["SIZE"], strict=True)
        dtype = np.dtype([(name, f"<{kind.lower()}{size}") for name, kind, size in columns])
    else:
        assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
        words = [line.split() for line in lines]
        n = next(int(w[2]) for w in words if w[:2] == ["element", "vertex"])
        kinds = {"float": "<f4", "double": "<f8", "uchar": "u1"}
        dtype = np.dtype([(w[2], kinds[w[1]]) for w in words if w[0] == "property"])
    assert len(body) == n * dtype.itemsize
    return np.frombuffer(body, dtype)
