"""The Personalise room and its HTTP API: an intake or a persona, a prompt, two pictures, and why.

The page uses the same API as everybody else.
"""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException

from zipp_dagster.persona.schema import AGE_BANDS
from zipp_dagster.personal import PersonaError
from zipp_dagster.personal.entries import is_pseudonym
from zipp_dagster.platform.versions import NotMaterialised
from zipp_dagster.studio.artist import Sketch
from zipp_dagster.studio.explanations import reasons_of_persona, reasons_of_text
from zipp_dagster.studio.intake import Intake, Line, associations, persona_lines
from zipp_dagster.studio.safety import check_text
from zipp_dagster.studio.web import page

router = APIRouter()
_SENTENCES = re.compile(r"\n+|(?<=[.!?])\s+(?!A guess from that)")


class PersonalizeRequest(BaseModel):
    """A prompt, and whose taste: an intake, a persona text, or a user with a persona."""

    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, Field(max_length=5000, examples=["a fox in the snow"])]
    intake: Intake | None = None
    persona_text: Annotated[str, Field(max_length=20_000)] | None = None
    user: Annotated[str, Field(max_length=64)] | None = None
    shots: Annotated[int, Field(ge=0, le=20)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0

    @model_validator(mode="after")
    def _somebody(self) -> PersonalizeRequest:
        if self.user is None and self.persona_text is None and self.intake is None:
            raise ValueError("give an intake, a persona_text or a user")
        if self.user is not None and (self.persona_text is not None or self.intake is not None):
            raise ValueError("give a user, or an intake with or without a persona_text, not both")
        if self.shots and self.user is None:
            raise ValueError("shots need a user: a persona text has no past prompts")
        return self


class Side(BaseModel):
    """One picture with the prompt that drew it."""

    prompt: str
    image_png_base64: str
    truncated: bool


class Because(BaseModel):
    """Why a phrase was added."""

    phrase: str
    source: str
    because: str


class PersonalizeResponse(BaseModel):
    """Both prompts and pictures, drawn from one seed, and the reason for each added phrase."""

    prompt: str
    seed: int
    generic: Side
    personalized: Side
    added: list[Because]
    persona_text: str
    flags: list[str]
    models: dict[str, str | None]
    synthetic: bool


class PersonaResponse(BaseModel):
    """The persona that follows from an intake, sentence by sentence."""

    persona_text: str
    lines: list[dict[str, str]]


@router.get("/personalise", include_in_schema=False)
def room(request: Request) -> HTMLResponse:
    """The page."""
    studio = request.app.state.studio
    return page(
        request,
        "personalise",
        questions=associations(),
        age_bands=AGE_BANDS,
        mined=_mined(studio),
        longest=studio.settings.max_prompt_chars,
        longest_persona=studio.settings.max_persona_chars,
    )


@router.post("/persona")
def persona(request: Request, intake: Intake) -> PersonaResponse:
    """The persona text of an intake, to look at and edit before anything is drawn."""
    lines = persona_lines(intake, guess=request.app.state.studio.guess)
    shown = [{"source": line.source, "sentence": line.sentence} for line in lines]
    return PersonaResponse(persona_text="\n".join(line.sentence for line in lines), lines=shown)


@router.post("/personalize", responses={422: {"description": "What is wrong, in `detail`."}})
async def personalize(request: Request, asked: PersonalizeRequest) -> PersonalizeResponse:
    """The generic and the personalised prompt and picture, and why each phrase was added."""
    studio = request.app.state.studio
    settings = studio.settings
    prompt = check_text(asked.prompt, "prompt", settings.max_prompt_chars, settings)
    lines: list[Line] = []
    text = asked.persona_text
    if asked.intake is not None:
        lines = persona_lines(asked.intake, guess=studio.guess)
        text = text if text is not None else "\n".join(line.sentence for line in lines)
    sentences: list[str] = []
    if text is not None:
        # Each line by itself: a rule's line is one reason, whatever sentences it has.
        for part in text.splitlines():
            stripped = part.strip()
            known = any(line.sentence == stripped for line in lines)
            sentences += [stripped] if known else [s for s in _SENTENCES.split(stripped) if s]
        text = check_text(text, "persona", settings.max_persona_chars, settings)
    if asked.user is not None:
        await asyncio.to_thread(_permitted, studio, asked.user)
    sketch = Sketch(prompt, asked.seed, text, asked.user, asked.shots)
    result = await _drawn(studio, sketch)
    rewritten = result["personalized"]["prompt"]
    # A language model may add what the visitor did not write.
    check_text(rewritten, "rewritten prompt", len(rewritten), settings)
    if asked.user is None:
        added = reasons_of_text(prompt, rewritten, sentences, lines)
        shown = text or ""
    else:
        entry = await asyncio.to_thread(studio.personas.get, asked.user)
        found = entry.to_json()["persona"]
        evidence = await asyncio.to_thread(_evidence, studio, entry.user)
        added = reasons_of_persona(prompt, rewritten, found, evidence)
        shown = found["summary"]
    unknown = "no_known_taste" in result["flags"]
    return PersonalizeResponse(
        prompt=prompt,
        seed=asked.seed,
        generic=_side(result["generic"]),
        personalized=_side(result["personalized"]),
        # Without a known taste the rewrite is the generic one: nothing of it comes from the person.
        added=[] if unknown else [Because.model_validate(reason) for reason in added],
        persona_text=shown,
        flags=result["flags"],
        models=result["models"],
        synthetic=studio.synthetic,
    )


async def _drawn(studio: Any, sketch: Sketch) -> dict[str, Any]:
    waiting = asyncio.wrap_future(studio.artist.visitor(sketch))
    try:
        result: dict[str, Any] = await asyncio.wait_for(waiting, studio.settings.draw_timeout_s)
    except TimeoutError as error:
        raise HTTPException(504, "drawing took too long; try again") from error
    except (PersonaError, NotMaterialised) as error:
        raise HTTPException(422, str(error)) from error
    return result


def _side(side: dict[str, Any]) -> Side:
    image = base64.b64encode(side["png"]).decode()
    return Side(prompt=side["prompt"], image_png_base64=image, truncated=side["truncated"])


def _permitted(studio: Any, user: str) -> None:
    """Mined personas of real people are not offered to whoever opens the page."""
    personas = studio.personas
    try:
        entry = personas.get(user)
    except (PersonaError, NotMaterialised) as error:
        raise HTTPException(404, str(error)) from error
    if is_pseudonym(entry.user) and personas.hides_people:
        raise HTTPException(403, "personas of real people are not shown here")


def _mined(studio: Any) -> list[dict[str, str]]:
    try:
        entries = studio.personas.list(4 * studio.settings.shown_personas)
    except NotMaterialised:
        return []
    usable = [e for e in entries if e.usable and e.persona is not None and e.persona.preferences]
    return [
        {"user": entry.user, "summary": entry.persona.summary}
        for entry in usable[: studio.settings.shown_personas]
    ]


def _evidence(studio: Any, user: str) -> dict[str, str]:
    """What the tastes of a mined persona rest on, by the ids that they cite."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    version = studio.platform.lake.find("persona_evidence")
    if version is None or version.skipped or not is_pseudonym(user):
        return {}
    mine = pc.field("user_id") == pa.scalar(int(user, 16), pa.uint64())
    table = pq.read_table(
        version.files(), columns=["snippet_id", "subreddit", "text"], filters=mine
    )
    return {
        row["snippet_id"] or f"r/{row['subreddit']}": f"“{row['text']}” (r/{row['subreddit']})"
        if row["snippet_id"]
        else f"active in r/{row['subreddit']}"
        for row in table.to_pylist()
    }
