"""Save and load: one versioned JSON file, exact float64, no pickle.

Floats are written by their shortest exact decimal form, so a round trip changes no bit; NaN and infinities are words.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from mixsci.errors import DataError, FormatError

FORMAT = "mixsci"
VERSION = 1
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

Registry = dict[str, type]
#: The registries made so far: a class that none of them holds could be written but not read back.
_REGISTRIES: list[Registry] = []


def write(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value to a file, whole or not at all: a crash leaves the old file.

    Raises:
        DataError: a label or class that could not be read back; nothing is written.
    """
    path, text = Path(path), to_text(value)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike[str], registry: Registry) -> Any:
    """Read what `write` wrote.

    Raises:
        FormatError: not such a file, a newer version, or a damaged one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not a mixsci model: it must be JSON; {error}") from None
    return from_text(text, registry, path)


def to_text(value: Any) -> str:
    """A value as the text that `write` puts into a file.

    Raises:
        DataError: a label or class that could not be read back.
    """
    _refuse_strangers(value)
    return json.dumps({"format": FORMAT, "version": VERSION, "content": encode(value)}, allow_nan=False)


def from_text(text: str, registry: Registry, where: str | os.PathLike[str]) -> Any:
    """What `to_text` made text of; `where` is what messages call it.

    Raises:
        FormatError: not such a text, a newer version, or a damaged one.
    """
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"{where} is not a mixsci model: it must be JSON; {error}") from None
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise FormatError(f"{where} is not a mixsci model: it lacks the mark of one")
    if whole.get("version") != VERSION:
        raise FormatError(
            f"{where} has format version {whole.get('version')}; this mixsci reads {VERSION}: update mixsci"
        )
    try:
        return decode(whole["content"], registry)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise FormatError(f"{where} is damaged: {error}") from None


def encode(value: Any) -> Any:
    """A value as plain JSON: arrays, dataclasses, enumerations and tuples are marked objects."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    for kind, encoder in _ENCODERS:
        if isinstance(value, kind):
            return encoder(value)
    if dataclasses.is_dataclass(value):
        fields = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
        return {"type": _name(type(value)), "fields": fields}
    what = f"{type(value).__name__} {value!r}".replace("\n", " ")
    raise DataError(f"cannot save {what}; group labels must be numbers or text: convert them before the fit")


def decode(value: Any, registry: Registry) -> Any:
    """What `encode` encoded."""
    if isinstance(value, list):
        return [decode(item, registry) for item in value]
    if not isinstance(value, dict):
        return value
    (mark, *_), content = value.keys(), next(iter(value.values()))
    if mark == "type":
        fields = {name: decode(item, registry) for name, item in value["fields"].items()}
        return _known(content, registry)(**fields)
    return _DECODERS[mark](content, registry)


def registry_of(*kinds: type) -> Registry:
    """The classes that a file may name; more may be put in by their names."""
    registry = {_name(kind): kind for kind in kinds}
    _REGISTRIES.append(registry)
    return registry


def _known(name: str, registry: Registry) -> Any:
    if name not in registry:
        raise ValueError(f"it names a class this mixsci does not know: {name}")
    return registry[name]


def _refuse_strangers(value: Any) -> None:
    for kind in _kinds(value):
        if _REGISTRIES and not any(registry.get(_name(kind)) is kind for registry in _REGISTRIES):
            raise DataError(
                f"what is saved must be of classes that a file may name; got {kind.__module__}.{kind.__qualname__}: "
                "name it in REGISTRY of mixsci/engine/em/archive.py, or pickle the fit"
            )


def _kinds(value: Any) -> Iterator[type]:
    """The classes that a file of this value would name."""
    if isinstance(value, Enum):
        yield type(value)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _kinds(item)
    elif isinstance(value, dict):
        yield from _kinds([*value.keys(), *value.values()])
    elif dataclasses.is_dataclass(value):
        yield type(value)
        yield from _kinds([getattr(value, field.name) for field in dataclasses.fields(value) if field.init])


def _name(kind: type) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__qualname__}"


def _encode_array(value: np.ndarray) -> dict[str, Any]:
    flat = [encode(item) for item in value.ravel().tolist()]
    return {"array": {"shape": list(value.shape), "dtype": value.dtype.str, "values": flat}}


def _decode_array(content: Any, registry: Registry) -> np.ndarray:
    values = [decode(item, registry) for item in content["values"]]
    return np.array(values, dtype=content["dtype"]).reshape(content["shape"])


_ENCODERS: list[tuple[Any, Callable[[Any], Any]]] = [
    (np.ndarray, _encode_array),
    (Enum, lambda value: {"enum": [_name(type(value)), value.name]}),
    (tuple, lambda value: {"tuple": [encode(item) for item in value]}),
    (list, lambda value: [encode(item) for item in value]),
    (dict, lambda value: {"dict": [[encode(key), encode(item)] for key, item in value.items()]}),
]
_DECODERS: dict[str, Callable[[Any, Registry], Any]] = {
    "array": _decode_array,
    "float": lambda content, _: _WORDS[content],
    "enum": lambda content, registry: _known(content[0], registry)[content[1]],
    "tuple": lambda content, registry: tuple(decode(item, registry) for item in content),
    "dict": lambda content, registry: {decode(key, registry): decode(item, registry) for key, item in content},
}
