"""What a method is: a prompt step, and an image step where drawing the prompt is not all.

Steps are plain objects with one method each, so that a method needs no base class. The frozen
generator draws every method's prompts with the same seeds and sampler unless it has an image step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    from zipp_dagster.persona.config import PersonaSettings
    from zipp_dagster.persona.language_models import LanguageModel
    from zipp_dagster.persona.retrieval import Embed
    from zipp_dagster.persona.schema import Persona
    from zipp_dagster.zipbench.config import MethodSettings

Role = Literal["ours", "baseline", "control"]


@dataclass(frozen=True)
class PromptContext:
    """What a prompt step may read.

    `cases` is benchmark_prompts; `personas` maps a user to (persona_id, persona); `history` is
    image_posts (user_id, post_id, title, created_at, sha256): no held-out post is in it. `embed`
    is a text encoder, for retrieval and the check of subjects. Only controls may read the cases'
    reference prompts. `personal_users` bounds for how many people a method that learns each of
    them writes prompts.
    """

    cases: pa.Table
    personas: Mapping[int, tuple[str, Persona]]
    history: pa.Table
    model: LanguageModel
    settings: PersonaSettings
    count_tokens: Callable[[str], int] | None = None
    embed: Embed | None = None
    personal_users: int = 0


class PromptStep(Protocol):
    """Writes the prompts of a method."""

    def unavailable(self) -> str | None:
        """Why this installation cannot run the step; None where it can."""
        ...

    def write(self, method: str, context: PromptContext) -> pa.Table:
        """The rows of rewritten_prompts (persona.rewriting.REWRITTEN_SCHEMA), at most one a case."""
        ...


class NotHere(ValueError):
    """Raised by an image step that this generator or this data cannot serve; the message says why."""


@dataclass(frozen=True)
class PastPicture:
    """A visible post of a person, never a held-out one: its title and its encoded picture."""

    prompt: str
    image: bytes


@dataclass(frozen=True)
class ImageContext:
    """What an image step may read of one person, whose pictures it is asked for.

    `prompts` and `seeds` have one entry a picture; `history` is the person's own, newest first.
    `pipeline` is the loaded frozen generator (`imaging.pipelines.LoadedPipeline`), to be left as it
    was; `settings` the ImagingSettings; `prepared` what the step's `prepare` returned.
    """

    prompts: Sequence[str]
    seeds: Sequence[int]
    history: Sequence[PastPicture]
    pipeline: Any
    settings: Any
    options: MethodSettings
    prepared: Any = None


@dataclass(frozen=True)
class Drawn:
    """Pictures uint8 [n, size, size, 3] in the order of the requests, and what learning them cost."""

    pixels: NDArray[np.uint8]
    fit_seconds: float = 0.0
    fit_cpu_seconds: float = 0.0


class ImageStep(Protocol):
    """Draws the pictures of a method that changes the generator itself, not only the prompt."""

    def unavailable(self) -> str | None:
        """Why this installation cannot run the step; None where it can."""
        ...

    def version(self, options: MethodSettings, titles: Sequence[str]) -> str:
        """What decides everybody's pictures besides prompt, seed and generator: part of their keys.

        `titles` are what `prepare` would be given.
        """
        ...

    def evidence(self, history: Sequence[PastPicture]) -> str:
        """A digest of what the step takes from a person's history: part of the pictures' keys."""
        ...

    def prepare(self, pipeline: Any, titles: Sequence[str], options: MethodSettings) -> Any:
        """What is learned once for everybody, from visible titles of other people; mostly None."""
        ...

    def draw(self, context: ImageContext) -> Drawn:
        """The pictures of one person; NotHere where it cannot."""
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


FEWEST_PICTURES = 3
"""Visible pictures below which there is next to nothing to learn of a person."""


@dataclass(frozen=True)
class ForSomePeople:
    """A prompt step's rows for the first `personal_users` people with enough visible pictures.

    Methods that learn every person cost minutes each; the people are the same for all of them.
    """

    step: PromptStep

    def unavailable(self) -> str | None:
        """The step's own reason."""
        return self.step.unavailable()

    def write(self, method: str, context: PromptContext) -> pa.Table:
        """The step's rows of these people's cases; none where there are no pictures."""
        people = chosen_people(context)
        mask = [user in people for user in context.cases["user_id"].to_pylist()]
        cases = context.cases.filter(pa.array(mask, pa.bool_()))
        return self.step.write(method, replace(context, cases=cases))


def chosen_people(context: PromptContext) -> set[int]:
    """Benchmark users with `FEWEST_PICTURES` visible pictures, the first by their pseudonym.

    A pseudonym is a keyed hash, so the first are a random choice.
    """
    if "sha256" not in context.history.column_names:
        return set()
    columns = (context.history[name].to_pylist() for name in ("user_id", "sha256"))
    pictures = Counter(user for user, sha in zip(*columns, strict=True) if sha is not None)
    users = sorted(set(context.cases["user_id"].to_pylist()))
    able = [user for user in users if pictures[user] >= FEWEST_PICTURES]
    return set(able[: context.personal_users])


def prompt_table(
    method: str, prompts: Mapping[str, str], *, language_model: str = "none", flags: str = ""
) -> pa.Table:
    """The rows of rewritten_prompts for a step that asks no rewriter: case → prompt."""
    from zipp_dagster.persona.rewriting import REWRITTEN_SCHEMA

    common = {"method": method, "language_model": language_model, "flags": flags, "shots": 0}
    rows = [common | {"case_id": case, "prompt": prompt} for case, prompt in prompts.items()]
    return pa.Table.from_pylist(rows, schema=REWRITTEN_SCHEMA)
