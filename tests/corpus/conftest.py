from __future__ import annotations

from tests.cli.conftest import octo

__all__ = ["octo"]
