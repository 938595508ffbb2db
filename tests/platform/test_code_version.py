from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from zipp_dagster.platform import code_version
from zipp_dagster.platform.code_version import CodeVersions

ASSETS = '''
"""The assets of a bakery."""
from bakery import dough
from bakery.oven import bake

FLOUR, WATER = 3, 2
TITLE: str = "loaf"

def _shape(mass):
    """Rolls it."""
    return mass * 2  # twice

def bread(inputs: dict, settings: "Settings") -> str:
    """A loaf.

    Of rye.
    """
    weight: int = _shape(FLOUR)
    return bake(dough.knead(weight)) + TITLE

def cake(inputs):
    from bakery.frosting import frost
    return frost(WATER)

def tea(inputs):
    return open("leaves.txt").read()
'''
FILES = {
    "__init__.py": "",
    "assets.py": ASSETS,
    "dough.py": "from bakery.config import Oven\ndef knead(x):\n    return x + 1\n",
    "oven.py": "import bakery.heat\ndef bake(x):\n    return bakery.heat.hot(x)\n",
    "heat.py": "def hot(x):\n    return 'hot'\n",
    "frosting.py": "NAMES = 'colours.txt'\ndef frost(x):\n    return NAMES\n",
    "config.py": "from bakery.defaults import DEGREES\nclass Oven:\n    degrees: int = DEGREES\n",
    "defaults.py": "DEGREES = 180\n",
    "unused.py": "A = 1\n",
    "colours.txt": "pink\n",
    "leaves.txt": "green\n",
}


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`versions(edits)`: the code versions of the bakery's assets with some files changed."""
    folder = tmp_path / "bakery"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "bakery"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        code_version._source_path.cache_clear()

    def compute(edits: dict[str, str] | None = None) -> dict[str, str]:
        for name, text in (FILES | (edits or {})).items():
            (folder / name).write_text(text)
        forget()
        module = importlib.import_module("bakery.assets")
        found = CodeVersions(("bakery",))
        return {name: found.of_function(getattr(module, name)) for name in ("bread", "cake", "tea")}

    yield compute
    forget()


def changed(versions, name: str, old: str, new: str) -> set[str]:
    """The assets whose code version is another one after an edit of a file."""
    assert FILES[name].count(old) >= 1
    before, after = versions(), versions({name: FILES[name].replace(old, new)})
    return {asset for asset in before if before[asset] != after[asset]}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("assets.py", "# twice", "# two times"),
        ("assets.py", "A loaf.", "Something to eat."),
        ("assets.py", '"""Rolls it."""\n', "\n"),
        ("assets.py", "inputs: dict", "inputs: list"),
        ("assets.py", "weight: int =", "weight ="),
        ("assets.py", "TITLE: str", "TITLE: object"),
        ("assets.py", "    return bake(", "\n\n    return bake( "),
        ("dough.py", "def knead(x):", 'def knead(x: int) -> int:\n    """Kneads."""  # well'),
    ],
    ids=["comment", "docstring", "helper's docstring", "annotation", "local annotation"]
    + ["constant's annotation", "layout", "all of them in another module"],
)
def test_what_does_not_change_the_meaning_makes_nothing_stale(versions, name, old, new):
    assert changed(versions, name, old, new) == set()


@pytest.mark.parametrize(
    ("name", "old", "new", "stale"),
    [
        ("assets.py", "mass * 2", "mass * 3", {"bread"}),
        ("assets.py", "FLOUR, WATER = 3, 2", "FLOUR, WATER = 3, 4", {"bread", "cake"}),
        ("assets.py", '"loaf"', '"roll"', {"bread"}),
        ("dough.py", "x + 1", "x + 2", {"bread"}),
        ("heat.py", "'hot'", "'cold'", {"bread"}),
        ("frosting.py", "return NAMES", "return NAMES * 2", {"cake"}),
        ("unused.py", "A = 1", "A = 2", set()),
    ],
    ids=["own helper", "shared constants", "annotated constant", "imported module"]
    + ["module imported by a module", "module imported in the body", "module that nobody uses"],
)
def test_an_edited_helper_makes_exactly_its_dependants_stale(versions, name, old, new, stale):
    assert changed(versions, name, old, new) == stale


@pytest.mark.parametrize(("name", "stale"), [("colours.txt", {"cake"}), ("leaves.txt", {"tea"})])
def test_a_data_file_that_the_code_names_counts_like_code(versions, name, stale):
    assert changed(versions, name, FILES[name], "blue\n") == stale


@pytest.mark.parametrize("name", ["config.py", "defaults.py"])
def test_settings_and_what_only_they_import_count_by_value_and_not_as_code(versions, name):
    assert changed(versions, name, FILES[name], FILES[name] + "MORE = 1\n") == set()


def test_annotations_of_fields_count_because_decoders_are_built_from_them(versions):
    before = {"dough.py": FILES["dough.py"] + "class Loaf:\n    weight: int = 1\n"}
    after = {"dough.py": before["dough.py"].replace("int", "float")}
    first, second = versions(before), versions(after)
    assert {name for name in first if first[name] != second[name]} == {"bread"}


def test_the_platform_counts_for_no_asset_of_the_project():
    from assets.catalogue import catalogue

    found = CodeVersions()
    for artifact in catalogue().values():
        if artifact.sql is None:
            modules = found.modules_of_function(artifact.function)
            assert not [name for name in modules if name.startswith("zipp_dagster.platform")]


def test_a_domain_module_counts_for_the_assets_that_use_it_and_for_no_other():
    from assets.catalogue import catalogue

    found, entries = CodeVersions(), catalogue()
    users = {
        name
        for name, artifact in entries.items()
        if artifact.sql is None
        and "zipp_dagster.reddit.records" in found.modules_of_function(artifact.function)
    }
    assert {"comments", "submissions"} <= users
    assert not users & {"gat_checkpoint", "personas", "leaderboard", "diffusion_model"}
