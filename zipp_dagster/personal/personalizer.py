"""One prompt for one person: the generic and the personalised prompt, and both images.

The champions rewrite and draw. Models are loaded at the first call and kept. Who somebody is comes
from the store or from a free text; how prompts are rewritten and images drawn lives in `persona` and
`imaging`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.language_models import LanguageModel, load_language_model
from zipp_dagster.persona.retrieval import Embed, PastPrompt, nearest_prompts
from zipp_dagster.persona.rewriter import settings_of_rewriter
from zipp_dagster.persona.rewriting import TokenCount, rewrite_prompt
from zipp_dagster.persona.schema import Persona
from zipp_dagster.personal.entries import PersonaError, is_pseudonym
from zipp_dagster.personal.free_text import persona_of_text
from zipp_dagster.personal.intake import persona_of_intake
from zipp_dagster.personal.store import PersonaStore

if TYPE_CHECKING:
    from zipp_dagster.imaging.pipelines import LoadedPipeline
    from zipp_dagster.platform.catalogue import Platform
    from zipp_dagster.platform.versions import Version

MOST_SEED = 2**63 - 1


@dataclass(frozen=True)
class _Generator:
    """A loaded diffusion model with the lake version that it comes from."""

    version: str
    pipeline: LoadedPipeline
    count_tokens: TokenCount


@dataclass(frozen=True)
class _Rewriter:
    """A language model, how it is asked, and the lake version that says so (None: the settings)."""

    version: str | None
    model: LanguageModel
    settings: PersonaSettings


@dataclass(frozen=True)
class _Person:
    """Whose taste is asked for."""

    persona: Persona
    user: str | None
    origin: str
    flags: tuple[str, ...] = ()


def current_generator(platform: Platform) -> Version:
    """The champion generator; before there is one, the candidate that was made last.

    Raises NotMaterialised where there is neither.
    """
    return _made(platform, "champion_diffusion_model") or platform.lake.current("diffusion_model")


def _made(platform: Platform, asset: str) -> Version | None:
    """The current version of an asset; None where there is none, or one that was left out."""
    version = platform.lake.find(asset)
    return None if version is None or version.skipped else version


class Personalizer:
    """Rewrites prompts for a person and draws them; keep one, as it keeps its models.

    `platform` is that of the process's settings (ZIPP_HOME, ZIPP_PROFILE) by default.
    """

    def __init__(self, platform: Platform | None = None) -> None:
        if platform is None:
            from zipp_dagster.runner import local_platform

            platform = local_platform()
        self.platform = platform
        self.store = PersonaStore(platform)
        self._loaded: _Generator | None = None
        self._rewrites: _Rewriter | None = None

    @cached_property
    def language_model(self) -> LanguageModel:
        """The model of persona.language_model, which reads persona texts; loaded at first use."""
        model = self.platform.settings.persona.language_model
        return load_language_model(model, self.platform.home)

    @cached_property
    def _embed(self) -> Embed | None:
        """The text encoder that checks subjects; None where none was made."""
        version = _made(self.platform, "text_encoder")
        if version is None:
            return None
        from zipp_dagster.imaging.stored_models import stored_model
        from zipp_dagster.imaging.text_encoder import load_text_encoder

        stored = stored_model(version.directory)
        return load_text_encoder(stored.model, stored.revision).embed

    def personalize(
        self,
        prompt: str,
        *,
        user: str | int | None = None,
        persona_text: str | None = None,
        intake: Mapping[str, Any] | None = None,
        shots: int = 0,
        seed: int = 0,
        out_dir: Path | str,
    ) -> dict[str, Any]:
        """Writes `generic.png` and `personalized.png` to `out_dir`, over earlier ones.

        Args:
            prompt: what to draw.
            user: somebody with a persona, see `PersonaStore.get`; or
            persona_text: a person in free words; or
            intake: a filled form, see `personal.intake.Intake`. Exactly one of the three.
            shots: how many of the user's visible past prompts to show to the rewriter.
            seed: of both images, 0 to 2^63 - 1.
            out_dir: made where it is missing.

        Returns:
            JSON types: `generic` and `personalized` with `prompt`, `image` (absolute path) and
            `truncated` (longer than the text encoder reads); `flags` of the personalised prompt;
            `persona_id`, `user`, `origin`, `shots`, `seed`; `models` with names and versions, of
            which `rewriter` is null where the settings' own template and model wrote; for a
            persona text or a form, `persona` as it was understood.

        Raises:
            PersonaError: an argument is unusable, the persona is quarantined, or (UnknownUser)
                there is none.
            NotMaterialised: the diffusion model, personas or past prompts are not there yet.
            RewriterError: the champion rewriter is none that this release can use.
        """
        prompt = " ".join(prompt.split())
        if not prompt:
            raise PersonaError("the prompt is empty: say what to draw")
        if sum(given is not None for given in (user, persona_text, intake)) != 1:
            raise PersonaError("give either a user, a persona text or an intake form")
        if not 0 <= seed <= MOST_SEED:
            raise PersonaError(f"seed {seed} is outside 0 to 2^63 - 1")
        current_generator(self.platform)
        if user is not None:
            person = self._named(user)
        elif intake is not None:
            settings = self.platform.settings.persona
            person = _Person(persona_of_intake(intake, settings), None, "intake")
        else:
            person = self._described(persona_text or "")
        shown = self._shots(person, prompt, shots)
        generator = self._generator()
        rewriter = self._rewriter()
        settings, model, count = rewriter.settings, rewriter.model, generator.count_tokens
        generic, _ = rewrite_prompt(prompt, None, model, settings, (), count, self._embed)
        own, raised = rewrite_prompt(
            prompt, person.persona, model, settings, shown, count, self._embed
        )
        flags = [*person.flags, *raised]
        if shots and not shown:
            flags.append("no_history")
        images = self._draw(generator, [generic, own], seed, Path(out_dir).expanduser().absolute())
        result: dict[str, Any] = {
            "prompt": prompt,
            "user": person.user,
            "origin": person.origin,
            "persona_id": person.persona.persona_id,
            "shots": len(shown),
            "seed": seed,
            "generic": images[0],
            "personalized": images[1],
            "flags": flags,
            "models": {
                "language_model": model.name,
                "rewriter": rewriter.version,
                "diffusion_model": generator.version,
                "diffusion_files": generator.pipeline.version,
            },
        }
        if user is None:
            result["persona"] = person.persona.model_dump(mode="json")
        return result

    def _named(self, user: str | int) -> _Person:
        entry = self.store.get(user)
        if entry.persona is None or not entry.usable:
            raise PersonaError(
                f"the persona of {entry.user} is quarantined ({entry.quarantined}): write another "
                f"one with `zipp personas edit {entry.user}`"
            )
        return _Person(entry.persona, entry.user, entry.origin)

    def _described(self, text: str) -> _Person:
        settings = self.platform.settings.persona
        persona, flags = persona_of_text(text, self.language_model, settings)
        return _Person(persona, None, "text", flags)

    def _shots(self, person: _Person, prompt: str, count: int) -> tuple[str, ...]:
        """The person's past prompts most like this one, from what the hold-out leaves visible."""
        if count < 0:
            raise PersonaError(f"shots={count}: give 0 or more")
        if count == 0 or person.user is None or not is_pseudonym(person.user):
            return ()
        posts = pq.read_table(
            self.platform.lake.current("image_posts").files(),
            columns=["post_id", "title", "created_at"],
            filters=pc.field("user_id") == pa.scalar(int(person.user, 16), pa.uint64()),
        )
        past = [
            PastPrompt(row["post_id"], row["title"], row["created_at"])
            for row in posts.to_pylist()
            if row["title"] and row["title"].strip()
        ]
        # There is no target here whose near copies would have to stay out.
        return nearest_prompts(prompt, "", past, count)[0]

    def _rewriter(self) -> _Rewriter:
        """The champion rewriter; before there is one, what the settings name.

        Loaded again only when another version became current.
        """
        machine = self.platform.settings.persona
        champion = _made(self.platform, "champion_rewriter")
        version = champion.id if champion else None
        if self._rewrites is None or self._rewrites.version != version:
            chosen = settings_of_rewriter(champion.directory, machine) if champion else machine
            # A language model may fill a GPU: the same one is not loaded twice.
            same = chosen.language_model == machine.language_model
            model = (
                self.language_model
                if same
                else load_language_model(chosen.language_model, self.platform.home)
            )
            self._rewrites = _Rewriter(version, model, chosen)
        return self._rewrites

    def _generator(self) -> _Generator:
        """The champion generator; loaded again only when another version became current."""
        from zipp_dagster.imaging.pipelines import load_pipeline
        from zipp_dagster.imaging.stored_models import stored_model
        from zipp_dagster.imaging.token_limits import token_counter

        current = current_generator(self.platform)
        if self._loaded is None or self._loaded.version != current.id:
            stored = stored_model(current.directory)
            self._loaded = _Generator(
                current.id,
                load_pipeline(stored.model, stored.revision, self.platform.settings.imaging),
                token_counter(current.directory),
            )
        return self._loaded

    def _draw(
        self, generator: _Generator, prompts: list[str], seed: int, out_dir: Path
    ) -> list[dict[str, Any]]:
        from zipp_dagster.imaging.generation import draw
        from zipp_dagster.imaging.image_files import encode_png
        from zipp_dagster.imaging.pipelines import is_truncated

        loaded, settings = generator.pipeline, self.platform.settings.imaging
        size = min(settings.batch_size, len(prompts))
        pixels = [
            image
            for start in range(0, len(prompts), size)
            for image in draw(
                loaded,
                prompts[start : start + size],
                [seed] * len(prompts[start : start + size]),
                settings,
            )
        ]
        out_dir.mkdir(parents=True, exist_ok=True)
        images = []
        for name, prompt, picture in zip(("generic", "personalized"), prompts, pixels, strict=True):
            path = out_dir / f"{name}.png"
            provenance = {
                "model": loaded.version,
                "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
                "seed": str(seed),
            }
            path.write_bytes(encode_png(picture, provenance))
            images.append(
                {
                    "prompt": prompt,
                    "image": str(path),
                    "truncated": is_truncated(loaded.pipeline, prompt),
                }
            )
        return images
