"""Frozen dataclasses <-> JSON, typed `--set` overrides, and the identity that stage keys are made of.

An unknown key or a wrong type is a `ConfigError` that names the field by its path and the nearest right name.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, field, fields
from typing import Any, Literal, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class ConfigError(ValueError):
    """Bad input from a user. The message names the field and says what would be right."""


def not_identity(default: Any) -> Any:
    """A field that does not change a stage's result and so takes no part in its key."""
    return field(default=default, metadata={"identity": False})


def version(number: int) -> Callable[[F], F]:
    """Mark a stage function with the version of its result; raise it when the same config would now give another one."""

    def mark(fn: F) -> F:
        fn.version = number  # type: ignore[attr-defined]
        return fn

    return mark


def check(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def suggest(name: str, known: typing.Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there is: {', '.join(known) or 'none'}"


def to_json(config: Any) -> Any:
    """Dataclass -> plain JSON values."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_json(getattr(config, f.name)) for f in fields(config)}
    if isinstance(config, (list, tuple)):
        return [to_json(value) for value in config]
    if isinstance(config, dict):
        return {str(key): to_json(value) for key, value in config.items()}
    return config


def from_json(cls: type[T], value: Any, where: str = "") -> T:
    """Plain JSON values -> dataclass (or builtin), every type checked; errors name the field by its path."""
    return _build(cls, value, where or getattr(cls, "__name__", str(cls)).lower())


def _build(cls: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(cls), typing.get_args(cls)
    if cls is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _build(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{where}={value!r} is not one of {list(args)}{suggest(value, map(str, args))}")
        return value
    if origin is tuple:
        check(isinstance(value, (list, tuple)), f"{where}={value!r} must be a list")
        if args[-1] is Ellipsis:
            return tuple(_build(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        check(len(value) == len(args), f"{where}={value!r} must have {len(args)} entries")
        return tuple(_build(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(args, value, strict=True)))
    if origin is dict:
        check(isinstance(value, dict), f"{where}={value!r} must be a table")
        return {key: _build(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(cls):
        check(isinstance(value, dict), f"{where}={value!r} must be a table of {cls.__name__}")  # type: ignore[union-attr]
        hints = typing.get_type_hints(cls)
        known = {f.name: f for f in fields(cls)}
        for key in value:
            if key not in known:
                raise ConfigError(f"{where}.{key}: unknown key{suggest(key, known)}")
        for name, f in known.items():
            if name not in value and f.default is MISSING and f.default_factory is MISSING:
                raise ConfigError(f"{where}.{name}: missing")
        return cls(**{key: _build(hints[key], item, f"{where}.{key}") for key, item in value.items()})  # type: ignore[operator]
    if cls is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if cls is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, cls) or (isinstance(value, bool) and cls is not bool):
        raise ConfigError(f"{where}={value!r} must be {cls.__name__}, not {type(value).__name__}")
    return value


def override(config: T, assignments: typing.Iterable[str]) -> T:
    """Apply `a.b=value` (value read as JSON, else as a string); list entries by name (`midtrain.short.tokens`) or index."""
    tree = to_json(config)
    for text in assignments:
        key, sep, raw = text.partition("=")
        check(bool(sep), f"--set {text!r}: write key=value")
        try:
            value = json.loads(raw)
        except json.JSONDecodeError:
            value = raw
        node, path = tree, key.strip().split(".")
        for i, part in enumerate(path):
            here = ".".join(path[: i + 1])
            slot: Any = part
            if isinstance(node, list):
                names = [item.get("name") if isinstance(item, dict) else str(j) for j, item in enumerate(node)]
                if part not in names and not (part.isdigit() and int(part) < len(node)):
                    raise ConfigError(f"--set {here}: no such entry{suggest(part, [str(n) for n in names])}")
                slot = names.index(part) if part in names else int(part)
            elif not isinstance(node, dict):
                raise ConfigError(f"--set {here}: {'.'.join(path[:i])} is a plain value, it has no fields")
            elif part not in node and i + 1 < len(path):
                raise ConfigError(f"--set {here}: unknown key{suggest(part, node)}")
            if i + 1 == len(path):
                node[slot] = value
            else:
                node = node[slot]
    return from_json(type(config), tree)


def identity(config: Any) -> Any:
    """What determines the result: the JSON without the fields marked `not_identity`."""
    if dataclasses.is_dataclass(config):
        return {f.name: identity(getattr(config, f.name)) for f in fields(config) if f.metadata.get("identity", True)}
    if isinstance(config, (list, tuple)):
        return [identity(value) for value in config]
    if isinstance(config, dict):
        return {str(key): identity(value) for key, value in config.items()}
    return config


def digest(value: Any) -> str:
    """Short content hash of a JSON value (16 hex digits of SHA-256 over its canonical form)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
