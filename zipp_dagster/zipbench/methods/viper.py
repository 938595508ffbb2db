"""ViPer (arXiv 2407.17365): one static taste a person, added to every prompt alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zipp_dagster.zipbench.config import MethodSettings
from zipp_dagster.zipbench.methods.base import ForSomePeople, Method, PastPicture, Rewriting
from zipp_dagster.zipbench.methods.personal import Personal

if TYPE_CHECKING:
    from zipp_dagster.imaging.personal.base import History

_RECURS = 2


def _make(options: MethodSettings, _: Any) -> Any:
    from zipp_dagster.imaging.personal.viper import Viper

    return Viper()


def _attributes(past: Sequence[PastPicture]) -> History:
    """The style phrases of the person's titles, in their canonical wording, where one recurs.

    Without any the history is empty, and the person's pictures are those of the bare generator: a
    taste that nothing shows moves nothing.
    """
    from zipp_dagster.imaging.personal.base import History
    from zipp_dagster.persona.aesthetics import style_of_prompt

    styles = [list(style_of_prompt(p.prompt).values()) for p in past]
    counts = Counter(phrase for style in styles for phrase in style)
    if not any(count >= _RECURS for count in counts.values()):
        return History()
    return History(liked_prompts=[", ".join(style) for style in styles if style])


METHOD = Method(
    name="viper",
    label="ViPer",
    role="baseline",
    description="The generic prompt, its text states moved by the styles that recur in past titles.",
    prompts=ForSomePeople(Rewriting("no_persona")),
    image=Personal("viper", _make, history=_attributes),
)
