"""A platform with three mined people, and its store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.personal.people import (
    a_platform,
)
from zipp_dagster.personal import PersonaStore


@pytest.fixture
def platform(tmp_path: Path) -> Any:
    return a_platform(tmp_path)


@pytest.fixture
def store(platform: Any) -> PersonaStore:
    return PersonaStore(platform)
