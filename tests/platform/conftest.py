"""A temporary lake, versions with one line of code, and a platform with a real MLflow store."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.object_storage import BUCKET, S3Server, serving
from tests.platform.bakery import CATALOGUE, OvenSettings
from zipp_dagster.fanout import Local
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.config import ServerSettings
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.materialise import materialise
from zipp_dagster.platform.object_lake import ObjectLake
from zipp_dagster.platform.object_store import ObjectStore, Retries
from zipp_dagster.platform.registry import Registry
from zipp_dagster.platform.versions import Version
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.section import Section

Publish = Callable[..., Version]
MIB = 2**20
DISK, OBJECT_STORAGE = BOTH = ("disk", "object storage")
IMPATIENT = Retries(count=3, seconds=10, first_pause_seconds=0.01, longest_pause_seconds=0.05)
FIELDS: dict[str, Any] = {
    "code_version": "code-1",
    "config_hash": "config",
    "config": {},
    "inputs": (),
    "run_id": None,
    "seconds": 0.1,
}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with serving() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> Iterator[S3Server]:
    """The session's object storage, behaving well again after the test."""
    s3_server.requests.clear()
    yield s3_server
    s3_server.fault = None


@pytest.fixture
def url(s3: S3Server) -> str:
    """A prefix of the test's own."""
    return f"s3://{BUCKET}/{secrets.token_hex(8)}"


@pytest.fixture
def machine(tmp_path: Path, url: str) -> Callable[..., ObjectLake]:
    """`machine("one")`: the same lake as another machine sees it, with a cache of its own."""

    def make(name: str, cache_bytes: int = MIB) -> ObjectLake:
        return ObjectLake(ObjectStore(url, IMPATIENT), tmp_path / name, cache_bytes)

    return make


@pytest.fixture
def lake(tmp_path: Path, request: pytest.FixtureRequest) -> Lake:
    """A lake on disk; `parametrize("lake", BOTH, indirect=True)` for one in object storage too."""
    if getattr(request, "param", DISK) == DISK:
        return Lake(tmp_path / "lake")
    return request.getfixturevalue("machine")("lake")


@pytest.fixture
def publish(lake: Lake) -> Publish:
    """`publish("bread", text="rye", inputs=[flour])`: a version of one file, made from others."""

    def make(
        asset: str,
        partition: str | None = None,
        *,
        text: str = "bread",
        inputs: tuple[Version, ...] | list[Version] = (),
        make_current: bool = True,
        **changes: Any,
    ) -> Version:
        made_from = f"{text} {changes} {[version.id for version in inputs]}"
        data_version = changes.pop("data_version", hashlib.sha256(made_from.encode()).hexdigest())
        fields = FIELDS | {"inputs": tuple(v.ref() for v in inputs)} | changes
        with lake.draft(asset, partition, data_version) as draft:
            draft.path("data.txt").write_text(text)
            return lake.publish(
                draft, make_current=make_current, data_version=data_version, **fields
            )

    return make


@pytest.fixture(scope="session")
def registry(
    tmp_path_factory: pytest.TempPathFactory, mlflow_store: Callable[[Path], Path]
) -> Registry:
    """One MLflow store for all tests of the platform."""
    return Registry.local(mlflow_store(tmp_path_factory.mktemp("mlflow")), None, "zipp")


@dataclass
class TinySettings:
    """Stands for the project's settings: some sections by name."""

    sections: dict[str, Section] = field(default_factory=dict)
    server: ServerSettings = field(default_factory=ServerSettings)

    def section(self, kind: type[Section]) -> Section:
        return next(value for value in self.sections.values() if type(value) is kind)

    def value(self, dotted: str) -> Any:
        section, name = dotted.split(".")
        return getattr(self.sections[section], name)


@pytest.fixture
def platform(tmp_path: Path, lake: Lake, registry: Registry) -> Platform:
    """Everything that a materialisation needs, below the test's folder; settings are the test's."""
    return Platform(
        settings=TinySettings(),
        lake=lake,
        warehouse=Warehouse("256MB", 1, tmp_path / "spill"),
        registry=registry,
        compute=Local(),
        home=tmp_path,
    )


@pytest.fixture
def bakery(platform):
    """A platform with an oven and a full sack."""
    platform.settings.sections["oven"] = OvenSettings()
    (platform.home / "sack-all.txt").write_text("rye")
    return platform


@pytest.fixture
def make(bakery):
    """`make("bread")` materialises; returns the outcome."""

    def run(name: str, partition: str | None = None, **options):
        return materialise(CATALOGUE[name], partition, bakery, CATALOGUE, **options)

    return run
