"""ZIPP: personas mined in an interaction graph, personal prompts and images, and their benchmark.

`from zipp_dagster import Personalizer` is the Python API. Importing the package loads nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zipp_dagster.personal import Personalizer as Personalizer
    from zipp_dagster.personal import PersonaStore as PersonaStore

__all__ = ["PersonaStore", "Personalizer"]


def __getattr__(name: str) -> Any:
    """Loads the public classes when they are first asked for (PEP 562)."""
    if name in __all__:
        return getattr(importlib.import_module("zipp_dagster.personal"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
