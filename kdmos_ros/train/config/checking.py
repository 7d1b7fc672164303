"""Data checked by pydantic: kinds of numbers, and one clear line for an entry that cannot be."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

STRICT = ConfigDict(strict=True, extra="forbid")
"""Of every class of a recipe: no text is taken for a number, no unknown entry is ignored."""

Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]

_T = TypeVar("_T")
_KINDS = {"an object": "a mapping", "a valid array": "a list", "a valid tuple": "a list"}


def checked(kind: type[_T], values: Any, where: str = "", more: Sequence[str] = ()) -> _T:
    """An object of a dataclass from plain data, as YAML and JSON have it.

    Args:
        where: path of the values' section in the file, for messages.
        more: names that are allowed beside the fields, to suggest for a misspelt one.

    Raises:
        ValueError: an entry is unknown, missing or of a value that cannot be. One line that names
            each such entry by its path and says why.
        TypeError: something is not plain data, such as a date.
    """
    try:
        return TypeAdapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        lines = [_complaint(kind, dict(e), where, more) for e in error.errors(include_url=False)]
        raise ValueError("; ".join(lines)) from None


def refuse_given(settings: Mapping[str, Any], given: Mapping[str, Any], where: str) -> None:
    """Refuse settings of a section that other sections decide.

    Raises:
        ValueError: one of the names given is set.
    """
    for name in given.keys() & settings.keys():
        raise ValueError(f"{where}.{name} cannot be set: it follows from other sections")


def _complaint(kind: type[Any], error: Mapping[str, Any], where: str, more: Sequence[str]) -> str:
    location = tuple(error["loc"])
    path = _path(where, location)
    if error["type"] == "unexpected_keyword_argument":
        known = [*_known(kind, location[:-1]), *more]
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.0)
        return f"{path} is unknown" + (f"; the nearest entry is {near[0]}" if near else "")
    if error["type"] == "missing":
        return f"{path} is missing"
    message = str(error["msg"])
    if error["type"] == "value_error":
        reason = message.removeprefix("Value error, ")
        section = path.rpartition(".")[2]
        return f"{path}: {reason.removeprefix(f'{section}: ')}" if path else reason
    wanted = message.removeprefix("Input should ")
    if wanted == message:
        return f"{path}: {message}, got {error['input']!r}"
    for name, plain in _KINDS.items():
        wanted = wanted.replace(name, plain)
    return f"{path or 'the whole'} must {wanted}, got {error['input']!r}"


def _path(where: str, location: Sequence[str | int]) -> str:
    path = where
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def _known(kind: Any, location: Sequence[str | int]) -> list[str]:
    """Names of the fields of the section at a location below a dataclass."""
    for part in location:
        if isinstance(part, str):
            kind = _section(get_type_hints(kind).get(part))
        if kind is None:
            return []
    return [field.name for field in dataclasses.fields(kind)]


def _section(hint: Any) -> type[Any] | None:
    """The dataclass in a type such as tuple[X, ...] or X | None."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    return next((found for inner in get_args(hint) if (found := _section(inner))), None)
