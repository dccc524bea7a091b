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
    return built if built.octo_compiled_for() else None
