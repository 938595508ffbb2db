"""PickScore (Kirstain et al., arXiv 2305.01569): a CLIP tuned on Pick-a-Pic; logit scale × cosine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zipp_dagster.imaging.encoders import load_vision_encoder
from zipp_dagster.zipbench.config import JudgeSettings


class PickScore:
    """Any `CLIPModel` checkpoint with tokenizer and preprocessor, scored as PickScore does."""

    def __init__(self, model: str, settings: JudgeSettings) -> None:
        """Loads weights; OSError without them."""
        self._encoder = load_vision_encoder(model, settings.revision, settings.device)
        self._scale = float(self._encoder.model.logit_scale.detach().exp())
        self.name = f"pickscore:{self._encoder.version}"

    def score(self, prompts: Sequence[str], images: Sequence[bytes]) -> NDArray[np.float64]:
        """exp(logit scale) × cosine of text and image, float64 [n]."""
        texts = self._encoder.embed_texts(prompts).astype(np.float64)
        pictures = self._encoder.embed_images(images).astype(np.float64)
        return self._scale * np.einsum("nd,nd->n", texts, pictures)
