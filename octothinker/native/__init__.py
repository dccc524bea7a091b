"""Compiled operators for CPUs: the fast path of decoding and training, beside the plain PyTorch code that defines the results.

They are built when the package is installed, where there is a C++ compiler. `OCTO_NATIVE=0` switches them off. Parallel loops
use PyTorch's own OpenMP threads (the library is linked without one and finds the symbols of torch's), so
`torch.set_num_threads` counts here too.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

import torch  # noqa: F401  (brings the OpenMP symbols into the process)


@cache
def library() -> ctypes.CDLL | None:
    """The compiled operators; None where they were not built, were built for another CPU, or are switched off."""
    if os.environ.get("OCTO_NATIVE") == "0":
        return None
    found = sorted(Path(__file__).parent.glob("_kernels*.so"))
    if not found:
        return None
    built = ctypes.CDLL(str(found[0]))
    if not built.octo_compiled_for():
        return None
    _keep_freed_memory()
    return built


def _keep_freed_memory() -> None:
    """A training step frees and takes the same buffers again. By default glibc hands large ones back to the kernel, which
    zeroes their pages each time: an eighth of nano's step."""
    process = ctypes.CDLL(None)
    if hasattr(process, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        process.mallopt(mmap_threshold, 2**30)
        process.mallopt(trim_threshold, 2**31 - 1)
