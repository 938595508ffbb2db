"""The web application: its parts put together, started and stopped.

`create_app` takes everything from outside, so that a test brings its own store and artist. Rooms are
in `rooms/`, what they share in `web.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from zipp_dagster.personal import PersonaStore
from zipp_dagster.personal.personalizer import current_generator
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.studio import web
from zipp_dagster.studio.artist import Artist, Sketch
from zipp_dagster.studio.config import StudioSettings
from zipp_dagster.studio.database import default_url
from zipp_dagster.studio.predraw import Predrawer
from zipp_dagster.studio.store import Store
from zipp_dagster.studio.study import StudyConfig, StudyError

_log = logging.getLogger(__name__)
STARTER = StudyConfig(name="first-look", title="A first look: which picture do you like better?")
LOOK_AGAIN_S = 20.0


@dataclass
class Studio:
    """What the rooms work with."""

    platform: Platform
    store: Store
    artist: Artist
    predrawer: Predrawer = field(init=False)
    results: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.predrawer = Predrawer(self.store, self.artist, guess=self.guess)

    @property
    def settings(self) -> StudioSettings:
        """The studio's section."""
        return self.platform.settings.studio

    @property
    def guess(self) -> bool:
        """Whether the persona text holds guesses by rule: only where no model infers them."""
        return self.platform.settings.persona.language_model.kind == "lexical"

    @property
    def personas(self) -> PersonaStore:
        """A fresh look at the personas."""
        return PersonaStore(self.platform)

    @cached_property
    def synthetic(self) -> bool:
        """Whether the pictures and mined personas are those of the generated sample world."""
        return not self.personas.mined.people_are_real


def open_store(platform: Platform) -> Store:
    """The store that the settings name."""
    url = platform.settings.studio.database_url or default_url(platform.home)
    return Store(url)


def create_app(platform: Platform, store: Store | None = None, artist: Artist | None = None) -> Any:
    """The ASGI application of a platform.

    Raises NotMaterialised where there is no diffusion model to draw with yet.
    """
    from zipp_dagster.studio.rooms import personalise, ratings, results, study

    current_generator(platform)
    chosen = platform.settings.studio
    artist = artist or Artist(chosen.queue_limit, chosen.drawing_threads)
    studio = Studio(platform, store or open_store(platform), artist)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        # A visitor should not wait for torch to load: one picture that nobody sees.
        artist.visitor(Sketch("a warm-up", 0, "I like natural light in pictures."))
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(studio, ended), daemon=True)
        watcher.start()
        yield
        ended.set()
        await asyncio.to_thread(artist.stop)
        studio.store.close()

    app = FastAPI(
        title="ZIPP studio",
        version="1",
        description="Personalise a text-to-image prompt for a person, and see both pictures.",
        lifespan=life,
        # The usual pages load their scripts from other places; /api is ours.
        docs_url=None,
        redoc_url=None,
    )
    app.state.studio = studio
    web.add_guards(app, chosen.allowed_hosts)
    for room in (personalise, study, ratings, results):
        app.include_router(room.router)
    _add_pages(app)
    return app


def add_starter_study(store: Store) -> None:
    """A study of the default settings, so that a new studio has one to look at."""
    if not store.studies():
        # Another process may have been faster.
        with contextlib.suppress(StudyError):
            store.create(STARTER)


def _watch(studio: Studio, ended: threading.Event) -> None:
    """Draws what other processes, or an earlier run of this one, have left undrawn."""
    while True:
        try:
            studio.predrawer.look()
        # A database that is away for a moment must not end the drawing for good.
        except Exception:  # noqa: BLE001
            _log.exception("looking for pairs to draw failed; the next look is in a while")
        if ended.wait(LOOK_AGAIN_S):
            return


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def home(request: Request) -> HTMLResponse:
        return web.page(request, "home")

    @app.get("/api", include_in_schema=False)
    def api(request: Request) -> HTMLResponse:
        return web.page(request, "api", base=str(request.base_url).rstrip("/"))

    @app.get("/health")
    def health() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok"}
