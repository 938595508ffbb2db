"""The Study room: consent, intake, blind pairs one at a time, withdrawal.

Everything works as plain forms; the script only adds keys and guards against double clicks. After
consent a participant is the token in their link: nothing else is known of them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import ValidationError

from zipp_dagster.persona.schema import AGE_BANDS
from zipp_dagster.studio.intake import Intake, associations, persona_text
from zipp_dagster.studio.records import Participant, Shown
from zipp_dagster.studio.safety import Refused, check_text
from zipp_dagster.studio.store import Store
from zipp_dagster.studio.study import StudyConfig
from zipp_dagster.studio.web import form, page

router = APIRouter(include_in_schema=False)


@router.get("/study")
def studies(request: Request) -> HTMLResponse:
    """The studies that somebody may take part in."""
    return page(request, "studies", studies=_store(request).studies())


@router.get("/study/{name}")
def consent(request: Request, name: str) -> HTMLResponse:
    """What the study is about; nothing is kept before the person agrees."""
    return page(request, "consent", study=_store(request).study(name), problem=None)


@router.post("/study/{name}/intake")
async def intake(request: Request, name: str) -> HTMLResponse:
    """The questions, after consent."""
    study = await asyncio.to_thread(_store(request).study, name)
    fields = await form(request)
    if fields.get("consent") != ["yes"]:
        problem = "Tick the box if you agree; otherwise just close this page."
        return page(request, "consent", 422, study=study, problem=problem)
    if study.kind == "persona_quality":
        return page(request, "join_rating", study=study)
    return _questions(request, study)


@router.post("/study/{name}/join")
async def join(request: Request, name: str) -> Response:
    """Makes the participant, and starts to draw their pairs."""
    store = _store(request)
    study = await asyncio.to_thread(store.study, name)
    fields = await form(request)
    if fields.get("consent") != ["yes"]:
        return page(request, "consent", 422, study=study, problem="Your consent is missing.")
    studio = request.app.state.studio
    if study.kind == "persona_quality":
        _, token = await asyncio.to_thread(store.join, study, {}, "")
        return RedirectResponse(f"/s/{token}/start", 303)
    answers = {key: values[-1] for key, values in fields.items() if key in Intake.model_fields}
    try:
        told = Intake.model_validate(answers | {"hobbies": fields.get("hobbies", [])})
        text = persona_text(told, guess=studio.guess)
        check_text(text, "intake", studio.settings.max_persona_chars, studio.settings)
    except ValidationError as error:
        problems = [_problem(fault) for fault in error.errors(include_url=False)]
        return _questions(request, study, problems, fields)
    except Refused as error:
        return _questions(request, study, [str(error)], fields)
    _, token = await asyncio.to_thread(store.join, study, told.model_dump(mode="json"), text)
    await asyncio.to_thread(studio.predrawer.look)
    return RedirectResponse(f"/s/{token}/start", 303)


@router.get("/s/{token}/start")
def start(request: Request, token: str) -> HTMLResponse:
    """How it goes, and the private link."""
    who, study = _who(request, token)
    link = str(request.base_url).rstrip("/") + f"/s/{token}"
    return page(request, "start", study=study, token=token, link=link, who=who)


@router.get("/s/{token}")
def pair(request: Request, token: str) -> Response:
    """The next pair, or that it is being drawn, or the end."""
    who, study = _who(request, token)
    if study.kind == "persona_quality":
        return RedirectResponse(f"/s/{token}/rate", 303)
    shown = _store(request).next_pair(who.id)
    if shown.state == "done":
        return page(request, "done", study=study, token=token, shown=shown)
    template = "pair" if shown.state == "pair" else "drawing"
    return page(request, template, study=study, token=token, shown=shown)


@router.get("/s/{token}/state")
def state(request: Request, token: str) -> JSONResponse:
    """Whether the next pair is ready: asked by the page that waits for it."""
    who, _ = _who(request, token)
    shown: Shown = _store(request).next_pair(who.id, look=False)
    return JSONResponse({"state": shown.state})


@router.get("/s/{token}/picture/{picture}")
def picture(request: Request, token: str, picture: str) -> Response:
    """One side; its address says nothing of the method."""
    who = _store(request).participant(token)
    png = _store(request).picture(who.id, picture)
    return Response(png, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.post("/s/{token}/vote")
async def vote(request: Request, token: str) -> Response:
    """Records a vote and goes on; sent twice, it counts once."""
    fields = await form(request)
    pair_id, choice = fields.get("pair", [""])[-1], fields.get("choice", [""])[-1]
    try:
        await asyncio.to_thread(_vote, request, token, pair_id, choice)
    except ValueError as error:
        raise Refused(str(error)) from error
    return RedirectResponse(f"/s/{token}", 303)


@router.get("/s/{token}/withdraw")
def ask_withdrawal(request: Request, token: str) -> HTMLResponse:
    """Asks once more."""
    _, study = _who(request, token)
    return page(request, "withdraw", study=study, token=token)


@router.post("/s/{token}/withdraw")
async def withdraw(request: Request, token: str) -> HTMLResponse:
    """Deletes everything of the participant."""
    await form(request)
    store = _store(request)
    who = await asyncio.to_thread(store.participant, token)
    await asyncio.to_thread(store.withdraw, who.id)
    return page(request, "withdrawn")


def _vote(request: Request, token: str, pair_id: str, choice: str) -> None:
    who, study = _who(request, token)
    _store(request).vote(who.id, pair_id, choice, study.too_fast_s)


def _questions(
    request: Request,
    study: StudyConfig,
    problems: list[str] | None = None,
    given: dict[str, Any] | None = None,
) -> HTMLResponse:
    return page(
        request,
        "intake",
        422 if problems else 200,
        study=study,
        questions=associations(),
        age_bands=AGE_BANDS,
        problems=problems or [],
        given=given or {},
    )


def _problem(fault: Any) -> str:
    names = {"age_band": "Age band", "hobbies": "Hobbies", "work": "Work"}
    field = str(fault["loc"][0])
    message = {
        "hobbies": "choose one to three",
        "place": "60 characters at most",
        "profession": "60 characters at most",
    }.get(field, "choose one")
    return f"{names.get(field, field.capitalize())}: {message}."


def _store(request: Request) -> Store:
    store: Store = request.app.state.studio.store
    return store


def _who(request: Request, token: str) -> tuple[Participant, StudyConfig]:
    store = _store(request)
    who = store.participant(token)
    return who, store.study(who.study)
