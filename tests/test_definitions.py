from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.catalogue import catalogue
from zipp_dagster.definitions import build_defs, defs
from zipp_dagster.platform.dagster_assets import MONTHS

ROOT = Path(__file__).parents[1]
SNAPSHOT = Path(__file__).parent / "snapshots" / "assets.json"
UPDATE = "UPDATE_SNAPSHOTS"
HEAVY = ("torch", "torch_geometric", "diffusers", "transformers", "mlflow", "great_expectations")
HEAVY += ("ray", "sklearn", "numba", "matplotlib", "pandas")

SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_definitions_are_complete_and_loadable():
    dg.Definitions.validate_loadable(defs)
    assert set(SPECS) == set(catalogue())


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_asset_has_group_kind_owner_description_and_code_version(name):
    spec = SPECS[name]
    assert spec.group_name and spec.group_name != "default"
    assert spec.kinds
    assert spec.owners and all(owner.startswith("team:") for owner in spec.owners)
    assert len((spec.description or "").split()) >= 8, "say what it is, why, and who uses it"
    assert spec.code_version
    assert spec.metadata["zipp/inputs"]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_asset_has_a_check_and_every_check_says_what_holds(name):
    checks = [
        spec
        for spec in defs.resolve_asset_graph().asset_check_keys
        if spec.asset_key.to_user_string() == name
    ]
    assert checks
    for check in catalogue()[name].checks:
        assert len(check.description.split()) >= 4


def test_every_table_shows_its_columns_before_anything_ran():
    for name, artifact in catalogue().items():
        if artifact.contract is not None:
            schema = SPECS[name].metadata["dagster/column_schema"]
            assert [c.name for c in schema.columns] == list(artifact.contract.column_types)
            assert all(column.description for column in schema.columns), name


def test_a_relationship_is_tested_only_against_an_input():
    for name, artifact in catalogue().items():
        related = artifact.contract.related_tables() if artifact.contract else set()
        assert related <= set(artifact.inputs), f"{name}: the test would be left out silently"


def test_monthly_assets_share_one_dynamic_partition():
    monthly = {name for name, artifact in catalogue().items() if artifact.partitioned}
    found = {name for name, spec in SPECS.items() if spec.partitions_def == MONTHS}
    assert found == monthly == {n for n, s in SPECS.items() if s.partitions_def is not None}


def test_automation_waits_for_the_blocking_checks_of_the_inputs():
    for name, artifact in catalogue().items():
        condition = SPECS[name].automation_condition
        assert (condition is not None) == bool(artifact.inputs)
        if condition is not None:
            labels = [operand.get_label() for operand in condition.operands]
            assert labels == ["eager", "all_deps_blocking_checks_passed"]


def test_jobs_schedule_and_sensors_exist():
    repository = defs.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs()}
    groups = {artifact.group for artifact in catalogue().values()}
    assert {"full_pipeline", "ingest_month", *(f"{group}_job" for group in groups)} <= jobs
    assert {s.name for s in repository.schedule_defs} == {
        "daily_erasures",
        "monthly_refresh",
        "weekly_zipbench",
    }
    assert {s.name for s in repository.sensor_defs} == {
        "champion_moved",
        "declarative_automation",
        "dump_folder",
        "tell_failed_checks",
        "tell_failed_runs",
    }
    for job in jobs - {"__ASSET_JOB"}:
        assert repository.get_job(job).description


def test_a_test_can_swap_a_resource(tmp_path):
    from resources.lake import LakeResource
    from resources.settings import SettingsResource

    lake = LakeResource(settings=SettingsResource(), root=str(tmp_path))
    swapped = build_defs({"lake": lake})
    assert swapped.resources["lake"].get().root == tmp_path
    assert set(swapped.resources) == {"settings", "lake", "warehouse", "mlflow", "compute"}


def test_the_asset_graph_is_the_one_of_the_snapshot():
    found = {
        name: {
            "group": spec.group_name,
            "monthly": spec.partitions_def is not None,
            "owners": sorted(spec.owners),
            "inputs": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        }
        for name, spec in sorted(SPECS.items())
    }
    if os.environ.get(UPDATE):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n")
    kept = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    assert found == kept, (
        "the assets or their dependencies are others than before: "
        f"{_difference(kept, found)}. If that is meant, run "
        f"`{UPDATE}=1 pytest tests/test_definitions.py` and commit {SNAPSHOT.relative_to(ROOT)}"
    )


def _difference(kept: dict[str, Any], found: dict[str, Any]) -> str:
    parts = {
        "new": sorted(set(found) - set(kept)),
        "gone": sorted(set(kept) - set(found)),
        "changed": sorted(n for n in set(kept) & set(found) if kept[n] != found[n]),
    }
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


def test_loading_the_definitions_loads_no_heavy_module():
    script = (
        "import sys, json, zipp_dagster.definitions\n"
        f"print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert json.loads(done.stdout) == []


def test_no_modules_import_each_other_in_a_circle():
    import grimp

    packages = ("zipp_dagster", "assets", "resources")
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    late = {module: _lines_in_functions(module) for module in graph.modules}
    edges: dict[str, set[str]] = {}
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            lines = graph.get_import_details(importer=module, imported=other)
            if any(line["line_number"] not in late[module] for line in lines):
                edges.setdefault(module, set()).add(other)
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' → '.join(error.args[1])}")


def _lines_in_functions(module: str) -> set[int]:
    """Lines of function bodies: an import there runs late, and closes no circle."""
    path = ROOT / (module.replace(".", "/") + ".py")
    path = path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    return {line for f in functions for line in range(f.lineno, (f.end_lineno or f.lineno) + 1)}
