"""What a method is: a prompt step, and an image step where drawing the prompt is not all.

Steps are plain objects with one method each, so that a method needs no base class. The frozen
generator draws every method's prompts with the same seeds and sampler unless it has an image step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    from zipp_dagster.persona.config import PersonaSettings
    from zipp_dagster.persona.language_models import LanguageModel
    from zipp_dagster.persona.retrieval import Embed
    from zipp_dagster.persona.schema import Persona

Role = Literal["ours", "baseline", "control"]


@dataclass(frozen=True)
class PromptContext:
    """What a prompt step may read.

    `cases` is benchmark_prompts; `personas` maps a user to (persona_id, persona); `history` is
    image_posts (user_id, post_id, title, created_at): no held-out post is in it. `embed` is a text
    encoder, for retrieval and the check of subjects. Only controls may read the cases' reference
    prompts.
    """

    cases: pa.Table
    personas: Mapping[int, tuple[str, Persona]]
    history: pa.Table
    model: LanguageModel
    settings: PersonaSettings
    count_tokens: Callable[[str], int] | None = None
    embed: Embed | None = None


class PromptStep(Protocol):
    """Writes the prompts of a method."""

    def unavailable(self) -> str | None:
        """Why this installation cannot run the step; None where it can."""
        ...

    def write(self, method: str, context: PromptContext) -> pa.Table:
        """The rows of rewritten_prompts (persona.rewriting.REWRITTEN_SCHEMA), at most one a case."""
        ...


@dataclass(frozen=True)
class ImageContext:
    """What an image step may read: requests of equal length, and the person's own liked pictures.

    `prompts`, `seeds` and `users` have one entry a picture to draw; `liked` and `disliked` map a user
    to encoded pictures of the visible history (never a held-out one), newest last; `past_prompts` to
    their titles. `pipeline` is the loaded frozen generator (`imaging.pipelines.LoadedPipeline`),
    `settings` the ImagingSettings.
    """

    prompts: Sequence[str]
    seeds: Sequence[int]
    users: Sequence[int]
    liked: Mapping[int, Sequence[bytes]]
    disliked: Mapping[int, Sequence[bytes]]
    past_prompts: Mapping[int, Sequence[str]]
    pipeline: Any
    settings: Any


class ImageStep(Protocol):
    """Draws the pictures of a method that changes the generator itself, not only the prompt."""

    def unavailable(self) -> str | None:
        """Why this installation cannot run the step; None where it can."""
        ...

    def draw(self, context: ImageContext) -> NDArray[np.uint8]:
        """Pictures [n, size, size, 3], in the order of the requests."""
        ...


@dataclass(frozen=True)
class Method:
    """How a method is shown, what it is compared as, and its steps.

    `opens_reference` marks a method that reads the answer: an upper bound, never a result.
    """

    name: str
    label: str
    role: Role
    description: str
    prompts: PromptStep
    image: ImageStep | None = None
    opens_reference: bool = False

    def unavailable(self) -> str | None:
        """Why the method cannot run here; None where it can."""
        return self.prompts.unavailable() or (self.image.unavailable() if self.image else None)


@dataclass(frozen=True)
class Rewriting:
    """A prompt step of the persona package's rewriter; `mode` is its name there."""

    mode: str

    def unavailable(self) -> str | None:
        """A reason where the rewriter does not know the mode."""
        from zipp_dagster.persona.rewriting import METHODS

        if self.mode in METHODS:
            return None
        return f"the rewriter offers no {self.mode}; it offers {', '.join(METHODS)}"

    def write(self, method: str, context: PromptContext) -> pa.Table:
        """The rewriter's rows, under the method's name."""
        from typing import cast

        from zipp_dagster.persona.config import Method as Mode
        from zipp_dagster.persona.rewriting import rewrite_cases

        table, _ = rewrite_cases(
            context.cases,
            context.personas,
            context.history,
            context.model,
            context.settings,
            methods=(cast(Mode, self.mode),),
            count_tokens=context.count_tokens,
            embed=context.embed,
        )
        names = pa.array([method] * table.num_rows, pa.string())
        return table.set_column(table.schema.get_field_index("method"), "method", names)


def prompt_table(
    method: str, prompts: Mapping[str, str], *, language_model: str = "none", flags: str = ""
) -> pa.Table:
    """The rows of rewritten_prompts for a step that asks no rewriter: case → prompt."""
    from zipp_dagster.persona.rewriting import REWRITTEN_SCHEMA

    common = {"method": method, "language_model": language_model, "flags": flags, "shots": 0}
    rows = [common | {"case_id": case, "prompt": prompt} for case, prompt in prompts.items()]
    return pa.Table.from_pylist(rows, schema=REWRITTEN_SCHEMA)
