#!/usr/bin/env python3
"""Checks what is committed: no large files, and released weights as `models/models.json` says.

check_files.py [FILE ...]        check these files, or all that git tracks
check_files.py --release NAME    enter the weights of a model that is released now
check_files.py --archive DIR     write one archive for each released model, and SHA256SUMS

`models/models.json` names each released model, the version it came with, and the SHA-256 of its
weights. Only what it names may be larger than 3 MB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT_BYTES = 3_000_000
WEIGHTS = (".onnx", ".pt")


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights_of(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of each weight file of a model folder, sorted."""
    files = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS)
    return {path.name: sha256(path) for path in files}


def tracked(root: Path) -> list[str]:
    """All files that git tracks under `root` and that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return [name for name in listed.split("\0") if name and (root / name).is_file()]


def released_models(root: Path) -> dict[str, dict]:
    """What models.json says: model -> {"version": str, "sha256": {file: digest}}."""
    content: dict[str, dict] = json.loads((root / "models" / "models.json").read_text("utf-8"))
    return content


def problems(root: Path, names: list[str]) -> Iterator[str]:
    """One line for each thing that is wrong, with the released models and with files by name."""
    released = released_models(root)
    for model, entry in released.items():
        folder = root / "models" / model
        found = weights_of(folder) if folder.is_dir() else {}
        for name in sorted(found.keys() | entry["sha256"].keys()):
            if name not in found:
                yield f"models/{model}/{name}: missing, but models/models.json names it"
            elif found[name] != entry["sha256"].get(name):
                yield (
                    f"models/{model}/{name}: not the released weights; trials are not committed, "
                    f"and a release is entered by scripts/check_files.py --release {model}"
                )
    for name in names:
        path = root / name
        parts = Path(name).parts
        in_models = parts[0] == "models" and path.suffix in WEIGHTS
        if in_models and parts[1] not in released:
            yield f"{name}: weights of a model that is not in models/models.json"
        elif not in_models and path.stat().st_size > LIMIT_BYTES:
            size = path.stat().st_size / 1e6
            yield f"{name}: {size:.1f} MB, the limit is {LIMIT_BYTES / 1e6:.0f} MB"


def release(root: Path, model: str) -> None:
    """Enter a model's weights under the version of package.xml."""
    text = (root / "package.xml").read_text("utf-8")
    version = text.split("<version>")[1].split("</version>")[0]
    content = released_models(root)
    content[model] = {"version": version, "sha256": weights_of(root / "models" / model)}
    text = json.dumps(dict(sorted(content.items())), indent=2) + "\n"
    (root / "models" / "models.json").write_text(text, "utf-8")


def archive(root: Path, out: Path) -> None:
    """Write NAME-VERSION.tar.gz for each model, as assets of a release, and SHA256SUMS."""
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for model, entry in released_models(root).items():
        made.append(out / f"{model}-{entry['version']}.tar.gz")
        with tarfile.open(made[-1], "w:gz") as tar:
            tar.add(root / "models" / model, arcname=model)
    lines = [f"{sha256(path)}  {path.name}\n" for path in made]
    (out / "SHA256SUMS").write_text("".join(lines), "utf-8")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Returns the exit status: 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="default: all that git tracks")
    parser.add_argument("--release", metavar="NAME", help="enter the weights of models/NAME")
    parser.add_argument("--archive", type=Path, metavar="DIR", help="write archives of the models")
    args = parser.parse_args(arguments)
    if args.release:
        if not (root / "models" / args.release).is_dir():
            print(f"check_files: error: no folder models/{args.release}", file=sys.stderr)
            return 1
        release(root, args.release)
    found = list(problems(root, args.files or tracked(root)))
    for line in found:
        print(f"check_files: error: {line}", file=sys.stderr)
    if args.archive and not found:
        archive(root, args.archive)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
