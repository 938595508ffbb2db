"""All artifacts together: the Python ones of the stage modules, and the SQL models."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from assets import (
    ablations,
    candidates,
    encoder,
    encoder_evaluation,
    evaluation,
    gallery,
    graph,
    image_models,
    imaging,
    judging,
    persona,
    promotion,
    reddit,
    report,
    studies,
    warehouse_checks,
    zipbench,
)
from assets.sources import active_months
from zipp_dagster.platform.artifacts import Artifact, sql_artifact
from zipp_dagster.platform.catalogue import Catalogue
from zipp_dagster.platform.contracts import load_contract
from zipp_dagster.platform.kept_facts import user_folder
from zipp_dagster.platform.sql_models import check_references, load_models

CONTRACTS = Path(__file__).parent / "contracts"
SQL_FOLDER = Path(__file__).parents[1] / "dbt_like_sql"
STAGES = (
    reddit,
    graph,
    encoder,
    encoder_evaluation,
    image_models,
    imaging,
    judging,
    persona,
    evaluation,
    zipbench,
    ablations,
    studies,
    gallery,
    promotion,
    candidates,
    report,
)


@cache
def catalogue() -> Catalogue:
    """Every artifact, with its contract, in topological order."""
    python = [_with_contract(entry) for stage in STAGES for entry in stage.ARTIFACTS]
    models = load_models(SQL_FOLDER, user_folder())
    check_references(models, [entry.name for entry in python])
    tables = [_with_checks(sql_artifact(model)) for model in models]
    return Catalogue([*python, *tables], active_months)


def _with_checks(entry: Artifact) -> Artifact:
    of_stages = (warehouse_checks.CHECKS_OF_TABLES, zipbench.CHECKS_OF_TABLES)
    checks = tuple(check for checks in of_stages for check in checks.get(entry.name, ()))
    return replace(entry, checks=checks)


def _with_contract(entry: Artifact) -> Artifact:
    path = CONTRACTS / f"{entry.name}.yml"
    return replace(entry, contract=load_contract(path)) if path.is_file() else entry
