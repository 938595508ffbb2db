"""The Results room: what studies have found so far, live."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from zipp_dagster.studio.results import rating_results, study_results
from zipp_dagster.studio.web import page

router = APIRouter()
FRESH_S = 3.0
"""Intervals are resampled: however many look on, that happens once in so many seconds."""


@router.get("/results", include_in_schema=False)
def overview(request: Request) -> HTMLResponse:
    """All studies."""
    store = request.app.state.studio.store
    rows = [(study, store.counts(study.name)) for study in store.studies()]
    return page(request, "results", rows=rows)


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
