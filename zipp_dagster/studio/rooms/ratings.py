"""The persona quality study: experts rate mined personas from 1 to 5."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from zipp_dagster.studio import rating_store
from zipp_dagster.studio.records import NotYours
from zipp_dagster.studio.safety import Refused
from zipp_dagster.studio.web import form, page

router = APIRouter(include_in_schema=False)
QUESTIONS = {
    "accuracy": "Demographic accuracy: does what it says about the person follow from the evidence?",
    "coherence": "Coherence: do its parts fit together, as of one person?",
    "completeness": "Completeness: is what the evidence shows in it?",
}


@router.get("/s/{token}/rate")
def item(request: Request, token: str) -> HTMLResponse:
    """The next persona, with what it rests on."""
    store = request.app.state.studio.store
    who = store.participant(token)
    study = store.study(who.study)
    if study.kind != "persona_quality":
        raise NotYours("this study has no personas to rate")
    found = rating_store.next_item(store, who.id, study.name)
    if found is None:
        return page(request, "done", study=study, token=token, shown=None)
    return page(request, "rate", study=study, token=token, item=found, questions=QUESTIONS)


@router.post("/s/{token}/rate")
async def rate(request: Request, token: str) -> Response:
    """Records a rating; sent twice, it counts once."""
    fields = await form(request)

    def number(name: str) -> int:
        text = fields.get(name, [""])[-1]
        return int(text) if text.isdigit() and len(text) < 6 else -1

    scores = {name: number(name) for name in rating_store.DIMENSIONS}
    try:
        await asyncio.to_thread(_rate, request, token, number("position"), scores)
    except ValueError as error:
        raise Refused(str(error)) from error
    return RedirectResponse(f"/s/{token}/rate", 303)


def _rate(request: Request, token: str, position: int, scores: dict[str, int]) -> None:
    store = request.app.state.studio.store
    who = store.participant(token)
    rating_store.rate(store, who.id, who.study, position, scores)
