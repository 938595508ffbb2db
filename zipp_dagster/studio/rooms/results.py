"""The Results room: what studies have found so far, live."""

from __future__ import annotations

import time
from typing import Any

import pyarrow.parquet as pq
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.studio.results import labelled, rating_results, study_results
from zipp_dagster.studio.web import page

router = APIRouter()
FRESH_S = 3.0
"""Intervals are resampled: however many look on, that happens once in so many seconds."""


@router.get("/results", include_in_schema=False)
def overview(request: Request) -> HTMLResponse:
    """All studies, and what the pipeline has counted of imported and simulated ones."""
    studio = request.app.state.studio
    rows = [(study, studio.store.counts(study.name)) for study in studio.store.studies()]
    return page(request, "results", rows=rows, counted=_counted(studio.platform))


@router.get("/results/{name}", include_in_schema=False)
def one(request: Request, name: str, part: bool = False) -> HTMLResponse:
    """One study; `part` gives the live part alone."""
    found = results_of(request, name)
    template = "result_part" if part else "result"
    return page(request, template, found=found, name=name)


@router.get("/api/results/{name}")
def results_of(request: Request, name: str) -> dict[str, Any]:
    """Win rates with intervals, Bradley–Terry, groups of enough people, and quality, as JSON."""
    studio = request.app.state.studio
    made, found = studio.results.get(name, (0.0, {}))
    if time.monotonic() - made < FRESH_S and found:
        return dict(found)
    study = studio.store.study(name)
    if study.kind == "persona_quality":
        found = rating_results(studio.store, study)
    else:
        found = study_results(studio.store, study, studio.platform.settings.zipbench)
    studio.results[name] = (time.monotonic(), found)
    return dict(found)


def _counted(platform: Platform) -> list[tuple[str, bool, list[dict[str, Any]]]]:
    """Study, whether simulated, and its win rates, as human_preferences holds them now."""
    version = platform.lake.find("human_preferences")
    if version is None or version.skipped:
        return []
    found: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for row in pq.read_table(version.files()).to_pylist():
        found.setdefault((row["study"], row["simulated"]), []).append(labelled(row))
    return [(study, simulated, rows) for (study, simulated), rows in found.items()]
