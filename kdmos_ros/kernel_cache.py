"""Compiled kernels that are older than their code are deleted, which numba does not see itself.

numba looks at the file that holds a kernel, not at those whose helpers and constants are compiled
into it (numba issue 1833). After an update that changes only these, a kernel goes on with the old
ones and labels are wrong without a word.
"""

from __future__ import annotations

import errno
import hashlib
import re
from pathlib import Path

_STAMP = "kernels.sha256"
_IMPORTED = re.compile(rb"^from kdmos_ros\.([\w.]+) import", re.MULTILINE)


def drop_stale_kernels(package: Path) -> int:
    """Delete the compiled kernels of a package if the code that they hold has changed.

    Returns how many files were deleted. Where the folder is not ours to write, numba keeps its
    files elsewhere, and nothing is done.
    """
    cache = package / "__pycache__"
    digest = code_of_kernels(package)
    try:
        cache.mkdir(exist_ok=True)
        stamp = cache / _STAMP
        if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
            return 0
        stale = [*package.rglob("*.nbi"), *package.rglob("*.nbc")]
        for path in stale:
            path.unlink(missing_ok=True)
        stamp.write_text(digest, encoding="ascii")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return 0
        raise
    return len(stale)


def code_of_kernels(package: Path) -> str:
    """Hash of the files with kernels and of all that these import from the package."""
    codes = {path: path.read_bytes() for path in package.rglob("*.py")}
    wanted = [path for path, code in codes.items() if b"njit" in code]
    found: set[Path] = set()
    while wanted:
        path = wanted.pop()
        if path in found or path not in codes:
            continue
        found.add(path)
        for name in _IMPORTED.findall(codes[path]):
            parts = name.decode().split(".")
            wanted.append(package.joinpath(*parts).with_suffix(".py"))
    digest = hashlib.sha256()
    for path in sorted(found):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + codes[path])
    return digest.hexdigest()
