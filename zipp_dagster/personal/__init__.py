"""Personas in use: looking them up, editing them, and drawing for one person.

What lives here: the store of mined and hand-written personas, and one personalised prompt and
image at a time, from the command line or Python. What does not: mining personas (`persona`),
drawing whole benchmarks (`assets.imaging`), Dagster.
"""

from __future__ import annotations

from zipp_dagster.personal.entries import PersonaEntry, PersonaError, UnknownUser
from zipp_dagster.personal.personalizer import Personalizer
from zipp_dagster.personal.store import PersonaStore

__all__ = ["PersonaEntry", "PersonaError", "PersonaStore", "Personalizer", "UnknownUser"]
