"""Experiments as Python functions that return an `Experiment`; a variant of one is `dataclasses.replace`.

A recipe is named in four ways: by a name below, `module:function`, `file.py:function`, or a resolved `experiment.json`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

from octothinker.config import Experiment
from octothinker.records import read_json
from octothinker.typed import ConfigError, from_json, suggest

RECIPES = {
    "nano": "octothinker.recipes.nano:nano",
    "smollm2-135m": "octothinker.recipes.smollm2:smollm2_135m",
    "octothinker-1b": "octothinker.recipes.octothinker:octothinker_1b",
    "octothinker-3b": "octothinker.recipes.octothinker:octothinker_3b",
    "octothinker-8b": "octothinker.recipes.octothinker:octothinker_8b",
}
CORPORA = {
    "megamath-web": "octothinker.recipes.corpus_web:megamath_web",
}
"""Corpus recipes, which take arguments: `octo corpus build`."""

T = TypeVar("T")


def find(spec: str) -> Experiment:
    """The experiment that `spec` names; a `ConfigError` says what there is instead."""
    return resolve(spec, Experiment, RECIPES, {})


def resolve(spec: str, kind: type[T], names: dict[str, str], args: dict[str, Any]) -> T:
    """The recipe of type `kind` that `spec` names, one of `names` or the user's own, called with `args`."""
    _importable(Path.cwd())
    if spec.endswith(".json"):
        if not Path(spec).is_file():
            raise ConfigError(f"{spec}: no such file")
        return from_json(kind, read_json(Path(spec)))
    module_name, sep, name = names.get(spec, spec).rpartition(":")
    if not sep:
        near = suggest(spec, names)
        raise ConfigError(
            f"recipe {spec!r} does not exist{near} (or your own: my.py:function, {kind.__name__.lower()}.json)"
        )
    module = _file(Path(module_name)) if module_name.endswith(".py") else _module(module_name)
    if not hasattr(module, name):
        functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise ConfigError(f"{module_name} has no {name!r}{suggest(name, functions)}")
    function = getattr(module, name)
    try:
        inspect.signature(function).bind(**args)
    except TypeError as error:
        raise ConfigError(f"{spec}: {error}; it takes {inspect.signature(function)}") from error
    recipe = function(**args)
    if not isinstance(recipe, kind):
        raise ConfigError(
            f"{spec} returned {type(recipe).__name__}, not {'an' if kind is Experiment else 'a'} {kind.__name__}"
        )
    return recipe


def _module(name: str) -> Any:
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        raise ConfigError(f"recipe {name}: no module of that name")
    return importlib.import_module(name)


def _file(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    _importable(path.absolute().parent)
    return importlib.import_module(path.stem)


def _importable(folder: Path) -> None:
    """A recipe may name generators that lie beside it, or where one stands: here and in the stages' processes."""
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
