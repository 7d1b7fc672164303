"""A model folder: what is in it, and whether it may be used with this code.

model.json     the specification below and the SHA-256 of each graph
encoder.onnx   point_features (N, F) -> point_embedding (N, C)
bev.onnx       appearance (cells, C), motion (R, M), motion_row (cells,), cells (K,)
               -> logits (K, n_z, classes); older ones take motion (cells, M) and no motion_row
bev.int8.onnx, encoder.fp16.onnx ...   the same in other precisions, if there are any
CARD.md        data, command, figures

All graphs read and write float32, whatever they compute in.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdmos_ros.defaults import PRECISIONS
from kdmos_ros.errors import ModelError
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec, without_unused
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.labels import CLASS_NAMES
from kdmos_ros.resources import share_dir

FORMAT = 1
DEFAULT_MODEL = "kdmos_s"
SPEC_FILE = "model.json"
GRAPHS = ("encoder.onnx", "bev.onnx")
"""The graphs in single precision, which every model has."""


@dataclass(frozen=True)
class ModelSpec:
    """Everything that the weights depend on.

    Attributes:
        name: the model's name, as in its folder.
        grid, features: the input definition.
        moving_threshold: probability from which a point is called moving.
        connected_threshold: lower one, from which it is if it is connected with such a point (see
            `hysteresis`); None: connections do not count.
        sensor_height_m: height assumed where the mount is not known.
        network: hyper-parameters of the student (see train.student); not needed to run it.
        training: how it was made: command, data, seed, steps; for the reader.
        sha256: graph file name to hash.
    """

    name: str
    grid: PolarGrid = field(default_factory=PolarGrid)
    features: FeatureSpec = field(default_factory=FeatureSpec)
    moving_threshold: float = 0.5
    connected_threshold: float | None = None
    sensor_height_m: float = 1.73
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.moving_threshold < 1:
            raise ValueError(f"moving_threshold must be in (0, 1), got {self.moving_threshold}")
        low = self.connected_threshold
        if low is not None and not 0 < low <= self.moving_threshold:
            raise ValueError(
                f"connected_threshold must be above 0 and not above moving_threshold, got {low}"
            )

    def to_json(self) -> str:
        """JSON text of the specification."""
        own = without_unused(dataclasses.asdict(self))
        if self.connected_threshold is None:
            del own["connected_threshold"]  # as in models before there was any
        content = {"format": FORMAT, "classes": list(CLASS_NAMES), **own}
        return json.dumps(content, indent=2) + "\n"

    @property
    def digest(self) -> str:
        """Short hash of the specification, the graphs' hashes in it: tells models apart."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    @property
    def weights(self) -> str:
        """What tells a model's weights apart, whatever precisions and notes are added to it."""
        return self.sha256.get("bev.onnx", "")

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those of PRECISIONS that at least one graph is there in."""
        return tuple(p for p in PRECISIONS if any(graph_file(g, p) in self.sha256 for g in GRAPHS))

    def graph_in(self, graph: str, precision: str) -> str:
        """File of one of GRAPHS in a precision; in single precision if it was not worth one."""
        name = graph_file(graph, precision)
        return name if name in self.sha256 else graph

    @staticmethod
    def from_json(text: str, where: str) -> ModelSpec:
        """Parse a specification.

        Raises:
            ModelError: naming `where`, if the text is not one this code understands.
        """
        try:
            content = json.loads(text)
            if content.pop("format") != FORMAT:
                raise ValueError(f"this version reads format {FORMAT} only")
            if tuple(content.pop("classes")) != CLASS_NAMES:
                raise ValueError(f"classes must be {CLASS_NAMES}")
            features = content.pop("features")
            visibility = features.pop("visibility")
            lags = tuple(visibility.pop("lags_s"))
            future = tuple(visibility.pop("future_lags_s", ()))
            return ModelSpec(
                grid=PolarGrid(**content.pop("grid")),
                features=FeatureSpec(
                    point=tuple(features.pop("point")),
                    slabs_m=tuple(features.pop("slabs_m")),
                    visibility=VisibilitySpec(lags, future_lags_s=future, **visibility),
                    **features,
                ),
                **content,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{where}: not a usable model specification: {error}") from error
        except RecursionError:
            raise ModelError(
                f"{where}: not a usable model specification: nested too deep"
            ) from None


def find_model(name: str | Path = DEFAULT_MODEL) -> Path:
    """The folder of a model, given its path or the name of a shipped one.

    Raises:
        ModelError: there is no such model; the message lists those that are shipped.
    """
    path = Path(name).expanduser()
    if (path / SPEC_FILE).is_file():
        return path
    shipped = share_dir() / "models"
    if (shipped / path / SPEC_FILE).is_file():
        return shipped / path
    names = sorted(spec.parent.name for spec in shipped.glob(f"*/{SPEC_FILE}"))
    raise ModelError(f"no model {str(name)!r}: not a model folder, nor one of {names}")


def graph_file(graph: str, precision: str) -> str:
    """Name of one of GRAPHS in one of PRECISIONS, as "bev.int8.onnx"."""
    return graph if precision == PRECISIONS[0] else graph.replace(".onnx", f".{precision}.onnx")


def load_spec(folder: Path) -> ModelSpec:
    """Read and check a model folder's specification and the hashes of all its graphs.

    Raises:
        ModelError: a file is missing, unreadable or changed.
    """
    path = folder / SPEC_FILE
    spec = ModelSpec.from_json(_read(path).decode("utf-8", errors="replace"), str(path))
    known = [graph_file(graph, precision) for graph in GRAPHS for precision in PRECISIONS]
    for name in GRAPHS:
        if name not in spec.sha256:
            raise ModelError(f"{path}: no hash of {name}")
    for name in spec.sha256:
        if name not in known:
            raise ModelError(f"{path}: a hash of {name}, which is no graph of a model")
        if hashlib.sha256(_read(folder / name)).hexdigest() != spec.sha256[name]:
            raise ModelError(f"{folder / name}: damaged or replaced, its hash is not model.json's")
    return spec


def save_spec(spec: ModelSpec, folder: Path) -> ModelSpec:
    """Write model.json with the hashes of the graphs in the folder; returns what was written.

    Raises:
        ModelError: one of GRAPHS is missing or unreadable.
    """
    more = [graph_file(graph, p) for graph in GRAPHS for p in PRECISIONS[1:]]
    names = [*GRAPHS, *(name for name in more if (folder / name).exists())]
    hashes = {name: hashlib.sha256(_read(folder / name)).hexdigest() for name in names}
    spec = dataclasses.replace(spec, sha256=hashes)
    temporary = folder / (SPEC_FILE + ".part")
    temporary.write_text(spec.to_json(), encoding="utf-8")
    os.replace(temporary, folder / SPEC_FILE)
    return spec


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read: {error.strerror}") from error
