"""What each method gives to the rewriter for a case: whose persona, which past prompts.

`RewritePlanner` knows the methods and asks no model; asking and checking is in `rewriting.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zipp_dagster.persona.config import Method, PersonaSettings
from zipp_dagster.persona.controls import shuffle_tastes, static_taste
from zipp_dagster.persona.retrieval import Embed, PastPrompt, nearest_prompts, tailored_prompts
from zipp_dagster.persona.schema import Persona

SHOTS: Final[Mapping[Method, int]] = {
    "zipp_1shot": 1,
    "zipp_3shot": 3,
    "zipp_5shot": 5,
    "tailored_visions": 3,
    "tailored_visions_bm25": 3,
}
"""Past prompts that a method shows."""

_NOBODYS: Final = ("no_persona", "tailored_visions", "tailored_visions_bm25")


@dataclass(frozen=True)
class Job:
    """One prompt to write. `persona` None: for nobody, or from past prompts alone.

    `written` is a prompt that is finished without a model.
    """

    case_id: str
    method: str
    base: str
    persona_id: str | None = None
    persona: Persona | None = None
    shots: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    written: str | None = None


class RewritePlanner:
    """Makes the jobs of cases. `embed` is needed by tailored_visions alone."""

    def __init__(
        self,
        personas: Mapping[int, tuple[str, Persona]],
        past: Mapping[int, Sequence[PastPrompt]],
        settings: PersonaSettings,
        embed: Embed | None = None,
    ) -> None:
        self._personas, self._past, self._settings = personas, past, settings
        self._embed = _remembering(embed) if embed else None

    def job(self, case: Mapping[str, Any], method: Method) -> Job | str:
        """The job of a case (a row of benchmark_prompts), or why the method cannot do it.

        Raises ValueError if the case's target is among the past prompts, and for tailored_visions
        without an encoder.
        """
        case_id, base, user = case["case_id"], case["base_prompt"], case["user_id"]
        persona_id, persona = None, None
        if method not in _NOBODYS:
            whose = case["mismatched_user_id"] if method == "mismatched" else user
            if whose is None or whose not in self._personas:
                return "no other persona" if method == "mismatched" else "no persona"
            persona_id, persona = self._personas[whose]
        if method in SHOTS:
            shots, flags = self._shots(case, method)
            return Job(case_id, method, base, persona_id, persona, shots, flags)
        if method == "shuffled" and persona is not None:
            mixed = shuffle_tastes(persona, self._settings.seed)
            flags = () if mixed.preferences != persona.preferences else ("not_shuffled",)
            return Job(case_id, method, base, persona_id, mixed, flags=flags)
        if method == "static_taste" and persona is not None:
            taste = static_taste(persona, self._settings.style_phrases)
            if not taste:  # nothing to append: what nobody's prompt gets
                return Job(case_id, method, base, persona_id, flags=("no_known_taste",))
            written = ", ".join([base, *taste])
            return Job(case_id, method, base, persona_id, persona, written=written)
        return Job(case_id, method, base, persona_id, persona)

    def _shots(
        self, case: Mapping[str, Any], method: Method
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        mine = self._past.get(case["user_id"], [])
        if any(prompt.post_id == case["case_id"] for prompt in mine):
            raise ValueError(
                f"case {case['case_id']}: its target is among the past prompts; rebuild image_posts "
                "from the hold-out"
            )
        if method == "tailored_visions" and self._embed is None:
            raise ValueError(
                "tailored_visions ranks by embeddings and was given no encoder: pass `embed`, or use "
                "tailored_visions_bm25"
            )
        asked = (case["base_prompt"], case["reference_prompt"], mine, SHOTS[method])
        if method == "tailored_visions":
            shots, left_out = tailored_prompts(*asked, self._embed)
        elif method == "tailored_visions_bm25":
            shots, left_out = tailored_prompts(*asked, None)
        else:
            shots, left_out = nearest_prompts(*asked)
        raised = ("near_target_left_out",) if left_out else ()
        return shots, (*raised, *(() if shots else ("no_history",)))


def _remembering(embed: Embed) -> Embed:
    """The encoder with a memory of a few lists: the cases of one person share their history."""

    @lru_cache(maxsize=8)
    def rows(texts: tuple[str, ...]) -> NDArray[np.float32]:
        return embed(texts)

    return lambda texts: rows(tuple(texts))
