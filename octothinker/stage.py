"""A stage: one function call whose result lies in one folder, named by what determines it.

    Stage(kind, fn, config, inputs) -> key -> stages/<name>-<key>.tmp/ ... manifest.json, rename -> stages/<name>-<key>/

The key is a hash of the function and its version, the identity of its config, and the keys of its inputs; paths take no
part in it. While a stage runs its folder ends in `.tmp` and outlives a kill: the function resumes from what it finds there.
A lock keeps two processes out of one folder. A failure leaves `error.txt`.

`python -m octothinker.stage <tmp>/stage.json` runs one stage; `octo run` starts that command for every stage.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.metadata
import os
import platform
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from octothinker.records import read_json, write_json, write_text
from octothinker.typed import ConfigError, digest, from_json, identity, to_json

EXIT_OK, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_BUSY, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
ALL_RANKS = ("midtrain", "rl")  # kinds whose function is made for several ranks; rank 0 alone runs the others
CHILD = "OCTO_STAGE_CHILD"  # set in the environment of a stage that must end with the process that started it


class StageBusy(RuntimeError):
    """Another process runs this stage."""


@dataclass(frozen=True)
class External:
    """A Hugging Face model that no stage made. `key` is a hash of its content, never of where it lies."""

    ref: str
    """A folder, or `owner/name[@revision]` on the hub."""
    key: str


@dataclass(frozen=True, eq=False)
class Stage:
    """One node of the experiment. Two stages are the same work when their keys are equal."""

    name: str
    kind: str
    fn: str
    """`module:function`, called as `fn(config, inputs: dict[str, Path], out: Path) -> dict`."""
    config: Any
    inputs: dict[str, Stage | External] = field(default_factory=dict)
    seed: int | None = None
    init: str | None = None
    """The mid-training stage (or `start`) whose model this one trains or measures."""

    @cached_property
    def version(self) -> int:
        """Raised by hand in the function's source when the same config gives another result."""
        return int(getattr(load(self.fn), "version", 1))

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "fn": self.fn,
            "version": self.version,
            "config": identity(self.config),
            "inputs": {role: source.key for role, source in sorted(self.inputs.items())},
        }

    @cached_property
    def key(self) -> str:
        return digest(self.identity)

    @property
    def parents(self) -> list[Stage]:
        return [source for source in self.inputs.values() if isinstance(source, Stage)]

    def folder(self, out: Path) -> Path:
        return out / "stages" / f"{self.name}-{self.key}"

    def tmp(self, out: Path) -> Path:
        return out / "stages" / f"{self.name}-{self.key}.tmp"

    def done(self, out: Path) -> bool:
        return (self.folder(out) / "manifest.json").exists()

    def prepare(self, out: Path) -> Path:
        """Make the temporary folder with the `stage.json` that `execute` reads; returns that file."""
        tmp = self.tmp(out)
        tmp.mkdir(parents=True, exist_ok=True)
        write_json(
            tmp / "stage.json",
            {
                "name": self.name,
                "fn": self.fn,
                "config_type": f"{type(self.config).__module__}:{type(self.config).__qualname__}",
                "config": to_json(self.config),
                "key": self.key,
                "identity": self.identity,
                "inputs": {role: str(_input_path(role, source, out)) for role, source in self.inputs.items()},
            },
        )
        return tmp / "stage.json"


def _input_path(role: str, source: Stage | External, out: Path) -> Path:
    if isinstance(source, External):
        from octothinker.model.hf import resolve_model

        return Path(source.ref) if source.ref.startswith(("http://", "https://")) else resolve_model(source.ref)
    folder = source.folder(out).absolute()
    return folder / "model" if role == "model" else folder  # a stage keeps its Hugging Face folder in `model/`


def load(spec: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = spec.partition(":")
    return getattr(importlib.import_module(module), name)


def external(ref: str, cache: Path | None = None) -> External:
    """An existing model as a stage's input. `cache` (a JSON file) remembers checksums by path, size and time.

    A model on the hub counts by its name and revision (it is fetched when a stage needs it, not to make a plan), one behind
    a server by its address.
    """
    if ref.startswith(("http://", "https://")):
        return External(ref, digest(f"server:{ref}"))
    folder = Path(ref)
    if (folder / "model" / "config.json").is_file():  # the folder of a finished stage
        folder = folder / "model"
    if (folder / "config.json").is_file():
        return External(str(folder), _fingerprint(folder, cache))
    if folder.exists():
        raise ConfigError(f"{ref} is no Hugging Face model folder: it has no config.json")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", ref):
        raise ConfigError(f"model {ref!r}: no such folder, and not a hub name (owner/name[@revision])")
    return External(ref, digest(f"hub:{ref}"))


def _fingerprint(folder: Path, cache: Path | None) -> str:
    """Hash over the SHA-256 of what decides a model's behaviour: config, tokenizer, weights."""
    known: dict[str, str] = read_json(cache) if cache and cache.exists() else {}
    before = dict(known)
    names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    files = [folder / name for name in names if (folder / name).exists()] + sorted(folder.glob("*.safetensors"))
    sums = {}
    for file in files:
        stat = file.stat()
        slot = f"{file.absolute()}:{stat.st_size}:{stat.st_mtime_ns}"
        if slot not in known:
            with open(file, "rb") as stream:
                known[slot] = hashlib.file_digest(stream, "sha256").hexdigest()
        sums[file.name] = known[slot]
    if cache and known != before:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, known)
    return digest(sums)


def source_hash(fn: str) -> str:
    """Hash of the Python files of the package that `fn` lives in (of its one file, when it is in no package)."""
    module = importlib.import_module(fn.partition(":")[0])
    file = Path(module.__file__ or "")
    files = sorted(file.parent.glob("*.py")) if module.__package__ else [file]
    return digest({f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files})


def environment() -> dict[str, Any]:
    """What a number may depend on besides the recipe."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        cpu = names[0] if names else cpu
    return {
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "platform": platform.platform(),
        "cpu": cpu,
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


@contextmanager
def locked(tmp: Path) -> Iterator[None]:
    """Hold a stage's folder against other processes; `StageBusy` when one has it. The kernel frees it on any death."""
    with open(tmp / "lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageBusy(f"{tmp.name.removesuffix('.tmp')} is being run by another process") from None
        yield


def running(tmp: Path) -> bool:
    """Whether a process works on this temporary folder now."""
    if not (tmp / "lock").exists():
        return False
    try:
        with locked(tmp):
            return False
    except StageBusy:
        return True


def execute(stage_file: Path, main: bool = True, barrier: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Run the stage described by `stage_file`, in its folder; returns the manifest.

    Raises whatever the function raised, after writing `error.txt`. `main=False` (ranks above 0 under torchrun): call the
    function, and leave the folder, the lock and the manifest to rank 0, who renames the folder only when all have met at
    `barrier`: a rank that is late would not find it.
    """
    spec = read_json(stage_file)
    tmp = stage_file.parent
    inputs = {role: Path(path) for role, path in spec["inputs"].items()}
    config = from_json(load(spec["config_type"]), spec["config"], spec["name"])
    fn = load(spec["fn"])
    if not main:
        result = dict(fn(config, inputs, tmp))
        barrier()
        return result
    final = tmp.with_name(tmp.name.removesuffix(".tmp"))
    with locked(tmp):
        if (final / "manifest.json").exists():  # finished by another process since we looked
            return dict(read_json(final / "manifest.json"))
        (tmp / "error.txt").unlink(missing_ok=True)
        started = time.time()
        try:
            result = fn(config, inputs, tmp)
        except Exception as error:
            kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
            write_text(tmp / "error.txt", f"{kind}{error}\n\n{traceback.format_exc()}")
            raise
        barrier()
        manifest = {
            "name": spec["name"],
            "key": spec["key"],
            **spec["identity"],
            "config": spec["config"],
            "code": source_hash(spec["fn"]),
            "environment": environment(),
            "started": started,
            "seconds": time.time() - started,
            "result": result,
        }
        (tmp / "stage.json").unlink()
        write_json(tmp / "manifest.json", manifest)
        os.rename(tmp, final)
        (final / "lock").unlink(missing_ok=True)
    return manifest


def _end_with_parent() -> None:
    """Standard input is a pipe that the starting process holds: when it closes, that process is gone, and so are we."""

    def watch() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock would be held when the interpreter shuts down
        os.killpg(0, signal.SIGKILL)  # with our own helpers; the folder survives a kill at any moment

    threading.Thread(target=watch, daemon=True).start()


def _terminate(signum: int, frame: Any) -> None:
    raise SystemExit(EXIT_INTERRUPTED)  # unwinds, so that worker pools and files are closed


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m octothinker.stage FOLDER.tmp/stage.json", file=sys.stderr)
        return EXIT_BAD_INPUT
    signal.signal(signal.SIGTERM, _terminate)
    if os.environ.pop(CHILD, None):
        _end_with_parent()
    try:
        execute(Path(arguments[0]))
    except StageBusy as busy:
        print(busy, file=sys.stderr)
        return EXIT_BUSY
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    return EXIT_OK  # any other exception ends the process with its traceback and code 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
