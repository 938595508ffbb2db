"""A rewriter as a model that can be registered: template and language model, with what shapes prompts.

The file holds all that decides what a rewriter answers, and no endpoint, key or device: those are
settings of the machine that uses it. Rewriting itself is in `rewriting`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.model_files import model_files
from zipp_dagster.persona.templates import load_template

FILE: Final = "rewriter.json"
TEMPLATE_FILE: Final = "rewrite.txt"
SECTIONS: Final = ("system", "user", "shots")
SHAPING: Final = ("style_phrases", "subject_similarity", "token_limit")
"""Settings of rewriting that change prompts, besides template and language model."""


class RewriterError(ValueError):
    """A rewriter's files are not what rewriting needs; the message says which."""


def rewriter_document(settings: PersonaSettings, home: Path | None = None) -> dict[str, Any]:
    """The rewriter of some settings as JSON types: name of the template, model, what shapes prompts.

    Of a model in a local directory it holds the hash of the files, remembered under `home`. Raises
    ValueError for a template that is not there.
    """
    template = load_template(settings.rewrite_template)
    files = model_files(settings.language_model, home)
    return {
        "template": template.version,
        "language_model": settings.language_model.outcome_values(),
        **({"model_files": files} if files else {}),
        **{name: getattr(settings, name) for name in SHAPING},
    }


def rewriter_fingerprint(settings: PersonaSettings, home: Path | None = None) -> str:
    """What a rewriter's version depends on: another text or other weights are another rewriter."""
    text = json.dumps(rewriter_document(settings, home), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_rewriter(
    settings: PersonaSettings, directory: Path, home: Path | None = None
) -> dict[str, Any]:
    """Writes the rewriter of some settings with the text of its template; returns the document."""
    document = rewriter_document(settings, home)
    (directory / FILE).write_text(json.dumps(document, indent=1, sort_keys=True))
    template = load_template(settings.rewrite_template)
    (directory / TEMPLATE_FILE).write_text(template.text, encoding="utf-8")
    return document


def settings_of_rewriter(directory: Path, machine: PersonaSettings) -> PersonaSettings:
    """Settings to rewrite as a kept rewriter does: its model and template, this machine's endpoint.

    Raises RewriterError where the directory holds no rewriter that this release can use.
    """
    try:
        document = json.loads((directory / FILE).read_text())
        known = machine.language_model.model_dump() | document["language_model"]
        changed = {
            "language_model": LanguageModelSettings.model_validate(known),
            "rewrite_template": str(directory / TEMPLATE_FILE),
            **{name: document[name] for name in SHAPING},
        }
        return PersonaSettings.model_validate(dict(machine) | changed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RewriterError(
            f"{directory / FILE} is no rewriter of this release: {error}"
        ) from error


def missing_sections(directory: Path) -> list[str]:
    """The sections that rewriting needs and a kept template lacks."""
    sections = load_template(str(directory / TEMPLATE_FILE)).sections
    return [name for name in SECTIONS if name not in sections]
