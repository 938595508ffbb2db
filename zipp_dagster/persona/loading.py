"""Loading what writes personas, in whichever process it works; and what that keeps busy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zipp_dagster.fanout import Need, need_of_model
from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.guards import load_guards
from zipp_dagster.persona.language_models import load_language_model
from zipp_dagster.persona.pictures import posted_pictures
from zipp_dagster.persona.writer import PersonaWriter


def load_writer(
    settings: PersonaSettings, home: Path, image_posts: Sequence[Path], media: Sequence[Path]
) -> PersonaWriter:
    """The model and guards of the settings; with files of posts and media, people's pictures too."""
    visible = bool(image_posts) and bool(media)
    return PersonaWriter(
        load_language_model(settings.language_model, home),
        settings,
        load_guards(settings),
        posted_pictures(image_posts, media, settings.images_per_user) if visible else None,
    )


def need_of(settings: LanguageModelSettings) -> Need:
    """A model in process keeps a GPU or all cores busy, word lists are Python.

    A server's answers are waited for: one writer on a machine has all requests that
    `concurrency` allows.
    """
    if settings.kind == "lexical":
        return Need(in_python=True)
    return need_of_model(settings.device if settings.kind == "transformers" else "cpu")
