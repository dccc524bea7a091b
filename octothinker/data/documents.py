"""Documents from files or a generator, and the text of each that is trained on.

    path (file | folder | glob | hf://datasets/…) -> files, by name -> rows ─┐
    generator(**args) ------------------------------------------------> rows ┴─ template | messages -> text

Whatever is wrong is a ConfigError that names file, line and field.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import platform
import string
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from octothinker.config import Problems, Source
from octothinker.data.files import HUB, Position, Row, find, read, sha256
from octothinker.typed import ConfigError, check, suggest, to_json

ROLES = {"system": "System", "user": "User", "assistant": "Assistant"}


# --- text -------------------------------------------------------------------------------------------------------------


def texts(source: Source, position: Position | None = None) -> Iterator[str]:
    """The text of each document, in the order of the files; at most `max_documents`."""
    render, needed = renderer(source)
    for row in islice(rows(source, position, needed), source.max_documents):
        yield render(row)


def renderer(source: Source) -> tuple[Callable[[Row], str], list[str]]:
    """How a document of this source becomes text, and the fields that this needs."""
    if source.messages is not None:
        name = source.messages
        return lambda row: _conversation(row, name), [name]
    parts = _parse_template(source.template)
    needed = [field for _, field in parts if field is not None]
    check(bool(needed), f"template {source.template!r} names no field; write {{field}} where a document's text belongs")

    def render(row: Row) -> str:
        return "".join(literal + ("" if field is None else text_field(row, field)) for literal, field in parts)

    return render, needed


def _parse_template(template: str) -> list[tuple[str, str | None]]:
    """`Q: {question}` -> [("Q: ", "question")]. Not str.format: that would also reach into a value's attributes."""
    parts: list[tuple[str, str | None]] = []
    try:
        for literal, field, spec, conversion in string.Formatter().parse(template):
            if field == "" or spec or conversion:
                raise ValueError("only {field} can stand in braces, with a name and without a format")
            parts.append((literal, field))
    except ValueError as error:
        raise ConfigError(f"template {template!r}: {error}; write {{{{ and }}}} for braces in the text") from error
    return parts


def text_field(row: Row, name: str) -> str:
    """A field as text: strings as they are, numbers as JSON writes them, but 27.0 as 27."""
    value = _field(row, name)
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{row.where}: field {name!r} is {_kind(value)}, not text or a number")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _conversation(row: Row, name: str) -> str:
    """`User:…\\nAssistant:…`, the form of instruction data in the paper."""
    turns = _field(row, name)
    if not isinstance(turns, list) or not turns:
        raise ConfigError(f"{row.where}: field {name!r} is {_kind(turns)}, not a list of messages")
    lines = []
    for i, turn in enumerate(turns, 1):
        turn = Row(f"{row.where}: {name}", i, turn if isinstance(turn, dict) else {})
        role = _field(turn, "role")
        check(role in ROLES, f"{turn.where}: role {role!r} is not one of {', '.join(ROLES)}")
        lines.append(f"{ROLES[role]}:{text_field(turn, 'content')}")
    return "\n".join(lines)


def _field(row: Row, name: str) -> Any:
    if name not in row.fields:
        raise ConfigError(f"{row.where}: no field {name!r}; it has: {', '.join(row.fields) or 'none'}")
    return row.fields[name]


def _kind(value: Any) -> str:
    return "null" if value is None else "empty" if value in ([], {}) else type(value).__name__


# --- rows -------------------------------------------------------------------------------------------------------------


def rows(spec: Source | Problems, position: Position | None = None, needed: list[str] | None = None) -> Iterator[Row]:
    """Every row, files in the order of their names. `needed`: the only fields wanted (parquet reads no others)."""
    position = position or Position()
    if spec.generator is not None:
        for number, fields in enumerate(call_generator(spec.generator, spec.args), 1):
            row = Row(f"{spec.generator}: document", number, fields)
            check(isinstance(fields, dict), f"{row.where}: {type(fields).__name__}, a generator must yield dicts")
            yield row
        return
    files = find(spec.path or "").values()
    position.total = sum(path.stat().st_size for path in files)
    for path in files:
        yield from read(path, position, needed)


# --- generators -------------------------------------------------------------------------------------------------------


def call_generator(spec: str, args: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Documents of `module:function` (or `file.py:function`), called with `args` by name."""
    return iter(find_generator(spec, args)(**args))


def find_generator(spec: str, args: dict[str, Any]) -> Callable[..., Iterable[dict[str, Any]]]:
    """The function itself; ConfigError when it is not there or does not take `args`."""
    name, _, attribute = spec.rpartition(":")
    check(bool(name and attribute), f"generator {spec!r}: write module:function")
    try:
        module = _load_file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
    except (ImportError, FileNotFoundError) as error:
        raise ConfigError(f"generator {spec!r}: cannot import {name}: {error}") from error
    function: Any = getattr(module, attribute, None)
    if not inspect.isfunction(inspect.unwrap(function)):
        functions = [n for n, value in vars(module).items() if inspect.isfunction(value)]
        raise ConfigError(f"generator {spec!r}: no function {attribute!r} in {name}{suggest(attribute, functions)}")
    try:
        inspect.signature(function).bind(**args)
    except TypeError as error:
        raise ConfigError(f"generator {spec!r}: {error}; it takes {inspect.signature(function)}") from error
    return function


def _load_file(path: Path) -> ModuleType:
    name = f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


# --- fingerprint ------------------------------------------------------------------------------------------------------


def fingerprint(spec: Source | Problems) -> dict[str, Any]:
    """What the rows depend on, for stage keys: content and relative names of the files, never where they lie.

    A generator counts by its name, its arguments and the source of the one file it is in; with the attribute
    `depends_on_python = True` also by Python's version. A data set on the hub counts by its name, revision and glob:
    nothing is fetched to make a plan, so pin the revision.
    """
    if spec.generator is not None:
        function = find_generator(spec.generator, spec.args)
        file = inspect.getsourcefile(inspect.unwrap(function))
        assert file is not None  # Python functions have one
        found = {"generator": Path(spec.generator).name, "args": to_json(spec.args), "code": sha256(Path(file))}
        return found | ({"python": platform.python_version()} if getattr(function, "depends_on_python", False) else {})
    path = spec.path or ""
    if path.startswith(HUB):
        return {"hub": path.removeprefix(HUB)}
    return {"files": {name: sha256(file) for name, file in find(path).items()}}
