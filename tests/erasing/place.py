"""A home with one month ingested, for tests of erasures."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.traces import Person, Search, records_of
from zipp_dagster import runner
from zipp_dagster.cli import cli
from zipp_dagster.platform.catalogue import Platform

WORLD = {"people": 40, "communities": 12, "image_size": 16, "bad_lines_per_file": 0, "months": 1}
SELECTION = "+int_activity_monthly,rejected_lines"
MONTH = "2024-01"


@dataclass
class Place:
    """A home with one month ingested from a folder of the user's."""

    platform: Platform
    records: list[dict[str, Any]]

    def current(self) -> dict[tuple[str, str | None], str]:
        lake = self.platform.lake
        return {
            (name, part): lake.current(name, part).id
            for name in lake.assets()
            for part in lake.partitions(name)
        }

    def person(self, name: str) -> Person:
        from assets.sources import pseudonymizer

        mine = [r for r in self.records if r["author"] == name]
        others = "\n".join(_text(r) for r in self.records if r["author"] != name)
        texts = {t for r in mine for t in _text(r).split("\n") if len(t) >= 25 and t not in others}
        words = {name} | {r["id"] for r in mine}
        words |= {("t3_" if "title" in r else "t1_") + r["id"] for r in mine}
        token = pseudonymizer(self.platform).user(name)
        return Person(frozenset(texts), frozenset(words), frozenset({token}), frozenset())

    def traces(self, person: Person) -> list[str]:
        return Search(person).folder(self.platform.home, leave_out=Path("/nowhere")).found


def _text(record: dict[str, Any]) -> str:
    return "\n".join(str(record.get(key) or "") for key in ("title", "selftext", "body"))


def call(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.output[result.output.index("{\n") :])


def settings(environment, home: Path, dumps: Path, **more: object):
    small = {"ZIPP_WAREHOUSE__THREADS": 1, "ZIPP_WAREHOUSE__MEMORY_LIMIT": "512MB"}
    return environment(ZIPP_HOME=home, ZIPP_REDDIT__DUMPS_DIR=dumps, **small, **more)


@contextmanager
def copied(template: tuple[Path, Path], environment, folder: Path):
    """A copy of the template: a home of one's own."""
    template_home, dumps = template
    shutil.copytree(template_home, folder / "home")
    records = [r for path in sorted(dumps.glob("*.zst")) for r in records_of(path)]
    with settings(environment, folder / "home", dumps):
        yield Place(runner.local_platform(), records)


def most_active(place: Place, but: str = "") -> str:
    """The person with the most records; no bot, nobody deleted."""
    bots = {name.lower() for name in place.platform.settings.reddit.bots} | {"[deleted]"}
    counts = Counter(r["author"] for r in place.records if r["author"].lower() not in bots)
    counts.pop(but, None)
    return max(counts, key=lambda name: (counts[name], name))
