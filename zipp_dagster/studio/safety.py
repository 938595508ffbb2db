"""The safety filter of prompts and personas: words and phrases that are refused.

A word list is a floor, no judgement: it keeps the crude cases out and says so. Published studios of a
hub model should run that model's own image filter as well.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

from zipp_dagster.studio.config import StudioSettings


class Refused(ValueError):
    """A text that the studio does not draw; the message is for the visitor."""


def check_text(text: str, what: str, longest: int, settings: StudioSettings) -> str:
    """The text on one line; Refused where it is empty, too long or holds a blocked term."""
    clean = "".join(ch if ch.isprintable() else " " for ch in unicodedata.normalize("NFKC", text))
    clean = " ".join(clean.split())
    if not clean:
        raise Refused(f"The {what} is empty.")
    if len(clean) > longest:
        raise Refused(f"The {what} has {len(clean)} characters; {longest} are allowed.")
    if settings.safety_filter and _pattern(settings.blocked_terms).search(_folded(clean)):
        raise Refused(f"The {what} holds words that this studio does not draw.")
    return clean


@lru_cache(maxsize=4)
def _pattern(more: tuple[str, ...]) -> re.Pattern[str]:
    lines = (Path(__file__).parent / "blocked_terms.txt").read_text("utf-8").splitlines()
    terms = [line for line in lines if line and not line.startswith("#")] + list(more)
    escaped = (re.escape(_folded(term)).replace(r"\ ", r"\W+") for term in terms)
    return re.compile(rf"\b(?:{'|'.join(escaped)})s?\b")


def _folded(text: str) -> str:
    """Lower case without accents, so that neither hides a word."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(ch for ch in apart if not unicodedata.combining(ch))
