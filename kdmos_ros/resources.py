"""Where the package's models, launch files and parameter files are.

pip, colcon and a source checkout put them in different places; everything else asks here.
"""

from __future__ import annotations

import os
from pathlib import Path

from kdmos_ros.errors import KdmosError

PACKAGE = "kdmos_ros"


def share_dir() -> Path:
    """The folder that holds `models/`, `launch/` and `config/`.

    Files beside the running code win, so that code and models are of one version:

    1. the source tree, if the code runs from one (checkout, `pip install -e`,
       `colcon build --symlink-install`);
    2. `share/kdmos_ros` under the prefix that the code is installed in (pip, colcon);
    3. `share/kdmos_ros` under the prefixes of the ament index (`AMENT_PREFIX_PATH`).

    Raises `KdmosError` if there is none, as in an incomplete install.
    """
    for folder in _candidates(Path(__file__).resolve()):
        if (folder / "package.xml").is_file():
            return folder
    raise KdmosError(
        "the package's shared files (models, launch, config) are missing: install kdmos_ros again"
    )


def _candidates(module: Path) -> list[Path]:
    """Places to look in, best first, for code that runs from the file `module`."""
    source_tree = module.parents[1]
    # <prefix>/lib/python3.x/site-packages/kdmos_ros/resources.py; some distributions
    # say local/lib or dist-packages, so every folder above is tried. `pip install --target` puts
    # share/ beside the package itself.
    prefixes = [*module.parents[1:], *_ament_prefixes()]
    return [source_tree, *(prefix / "share" / PACKAGE for prefix in prefixes)]


def _ament_prefixes() -> list[Path]:
    value = os.environ.get("AMENT_PREFIX_PATH", "")
    return [Path(prefix) for prefix in value.split(os.pathsep) if prefix]
