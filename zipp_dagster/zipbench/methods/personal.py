"""Image steps of `imaging.personal`: a method that is fitted to each person, then draws for them.

What is common to them; each method is a file of its own beside this one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zipp_dagster.zipbench.config import MethodSettings
from zipp_dagster.zipbench.methods.base import Drawn, ImageContext, NotHere, PastPicture

if TYPE_CHECKING:
    from zipp_dagster.imaging.personal.base import History, PersonalMethod

PACKAGE = "zipp_dagster.imaging.personal"


@dataclass(frozen=True)
class Personal:
    """An image step for one module of `imaging.personal`.

    `make` builds the method from the settings and what `train` gave; `train` learns from what
    `material` makes of other people's titles, plain lists and texts; `history` says what of a
    person's past the method reads; `options` names the settings that matter to it; `needs` is a
    library that must be installed, `unet` whether the generator must have one.
    """

    module: str
    make: Callable[[MethodSettings, Any], PersonalMethod]
    options: tuple[str, ...] = ()
    train: Callable[[Any, Any, MethodSettings], Any] | None = None
    material: Callable[[Sequence[str]], Any] = list
    history: Callable[[Sequence[PastPicture]], History] | None = None
    needs: str = "torch"
    unet: bool = False

    def unavailable(self) -> str | None:
        """A reason where the library is missing."""
        return None if find_spec(self.needs) else f"it needs the package {self.needs}"

    def version(self, options: MethodSettings, titles: Sequence[str]) -> str:
        """Hash of the method's own code and settings, and of what `train` learns from.

        What it learns from stands for the vocabulary that made it of the titles.
        """
        digest = hashlib.sha256()
        own = (f"{PACKAGE}.base", f"{PACKAGE}.text_states", f"{PACKAGE}.{self.module}")
        for name in (*own, self.make.__module__):
            found = find_spec(name)
            assert found is not None and found.origin is not None, name
            digest.update(Path(found.origin).read_bytes())
        for name in self.options:
            digest.update(f"{name}={getattr(options, name)};".encode())
        if self.train:
            digest.update(json.dumps(self.material(titles)).encode())
        return digest.hexdigest()[:16]

    def evidence(self, history: Sequence[PastPicture]) -> str:
        """Hash of the prompts and pictures that the method is fitted to."""
        read = self._read(history)
        parts = (
            [prompt.encode() for prompt in read.liked_prompts],
            read.liked_images,
            [prompt.encode() for prompt in read.disliked_prompts],
            read.disliked_images,
        )
        hashes = [[hashlib.sha256(one).hexdigest() for one in part] for part in parts]
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()

    def prepare(self, pipeline: Any, titles: Sequence[str], options: MethodSettings) -> Any:
        """What `train` learns once for everybody."""
        self._serves(pipeline.pipeline)
        return self.train(pipeline, self.material(titles), options) if self.train else None

    def draw(self, context: ImageContext) -> Drawn:
        """Fits the person, then draws; where nothing is known of them, as the generator does."""
        base = import_module(f"{PACKAGE}.base")
        method = self.make(context.options, context.prepared)
        history = self._read(context.history)
        loaded, settings = context.pipeline, context.settings
        if not history.liked_prompts:
            pixels = base.draw_batches(loaded, context.prompts, context.seeds, settings)
            return Drawn(pixels)
        fitted = method.fit(loaded, history, settings)
        pixels = method.draw(loaded, fitted, context.prompts, context.seeds, settings)
        return Drawn(pixels, fitted.seconds, fitted.cpu_seconds)

    def _read(self, past: Sequence[PastPicture]) -> History:
        return (self.history or plain_history)(past)

    def _serves(self, pipeline: Any) -> None:
        """NotHere for a generator of another class than the method can change."""
        kind = type(pipeline).__name__
        if self.unet and not hasattr(pipeline, "unet"):
            raise NotHere(f"it changes a U-Net, and {kind} has none")
        if "do_classifier_free_guidance" not in signature(pipeline.encode_prompt).parameters:
            raise NotHere(f"it needs an unconditional branch, and {kind} has none")


def plain_history(past: Sequence[PastPicture]) -> History:
    """Everything that a person posted counts as liked; Reddit shows no dislikes."""
    from zipp_dagster.imaging.personal.base import History

    return History([p.image for p in past], [p.prompt for p in past])
