"""What all tests share: no settings from outside, and a way to set some for a test or a module."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

MLFLOW_DATABASE = "mlflow.db"
Environment = Callable[..., AbstractContextManager[None]]


def _our_variables() -> list[str]:
    return [name for name in os.environ if name.startswith("ZIPP_")]


def _forget_settings() -> None:
    # The catalogue is cached too, and stays: it depends on files of the project, never on settings.
    from zipp_dagster.settings import settings

    settings.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Removes ZIPP_ variables, and keeps every test away from the user's own ZIPP_HOME."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _our_variables():
            patch.delenv(name)
        patch.setenv("ZIPP_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        patch.setenv("GX_ANALYTICS_ENABLED", "False")
        _forget_settings()
        yield


@pytest.fixture(scope="session")
def environment() -> Environment:
    """`with environment(ZIPP_ENCODER__HIDDEN=8):` sets these variables and no others of ours."""

    @contextmanager
    def setting(**variables: object) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in _our_variables():
                if name != "ZIPP_HOME":
                    patch.delenv(name)
            for name, value in variables.items():
                patch.setenv(name, str(value))
            _forget_settings()
            yield
        _forget_settings()

    return setting


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Puts an empty MLflow store into a folder: a copy, because making one takes seconds."""
    from zipp_dagster.platform.registry import Registry

    template = tmp_path_factory.mktemp("mlflow-template")
    Registry.local(template, None, "none").client.search_experiments()

    def put(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(template / MLFLOW_DATABASE, folder / MLFLOW_DATABASE)
        return folder

    return put
