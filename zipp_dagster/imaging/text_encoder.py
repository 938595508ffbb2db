"""Embeddings of documents (one a subreddit): TF-IDF and SVD fitted here, or a sentence encoder.

The fitted encoder is stored as .npz and .json; a sentence encoder is any transformers model,
mean-pooled. Text that goes with images is CLIP's business (`encoders.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from zipp_dagster.progress import Progress, silent

_FORMAT = "zipp-tfidf-svd-1"


class TextEncoder(Protocol):
    """What every document encoder offers."""

    dim: int

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> np.ndarray:
        """Unit-norm embeddings, float32 [n, dim]; zeros for a text without a known word."""
        ...


class TfidfSvdEncoder:
    """TF-IDF weights projected on the leading singular vectors of the fitted documents."""

    def __init__(self, vocabulary: dict[str, int], idf: np.ndarray, components: np.ndarray) -> None:
        self.dim = int(components.shape[0])
        self.components = components
        self._vectorizer = _vectorizer(vocabulary)
        self._vectorizer.idf_ = idf

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> np.ndarray:
        """Unit-norm embeddings, float32 [n, dim]; zeros for a text without a known word."""
        weights: scipy.sparse.csr_matrix = self._vectorizer.transform(texts)
        out = np.asarray(weights @ self.components.T, dtype=np.float32)
        progress(len(texts), len(texts), "document embeddings")
        return _unit(out)

    def save(self, directory: Path) -> None:
        """Writes `text_encoder.npz` and `text_encoder.json`."""
        directory.mkdir(parents=True, exist_ok=True)
        np.savez(
            directory / "text_encoder.npz", idf=self._vectorizer.idf_, components=self.components
        )
        words = {word: int(i) for word, i in sorted(self._vectorizer.vocabulary_.items())}
        document = {"format": _FORMAT, "dim": self.dim, "vocabulary": words}
        text = json.dumps(document, ensure_ascii=False, sort_keys=True)
        (directory / "text_encoder.json").write_text(text, encoding="utf-8")


def _vectorizer(vocabulary: dict[str, int] | None = None, **options: Any) -> TfidfVectorizer:
    return TfidfVectorizer(
        lowercase=True,
        strip_accents="unicode",
        token_pattern=r"(?u)\b[^\W\d_][\w'-]+\b",
        sublinear_tf=True,
        dtype=np.float32,
        vocabulary=vocabulary,
        **options,
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0).astype(np.float32)


def fit_text_encoder(
    documents: Sequence[str], out_dir: Path, dim: int, seed: int = 0, max_features: int = 50_000
) -> TfidfSvdEncoder:
    """Fits TF-IDF and SVD on the documents and saves the encoder under `out_dir`.

    The width shrinks to what the documents carry (fewer documents or words than `dim`). Raises
    ValueError when there are fewer than two documents or no words at all.
    """
    if len(documents) < 2:
        raise ValueError(f"a text encoder needs at least 2 documents, not {len(documents)}")
    low = 2 if len(documents) >= 10 else 1
    vectorizer = _vectorizer(min_df=low, max_df=0.6 if low > 1 else 1.0, max_features=max_features)
    try:
        weights = vectorizer.fit_transform(documents)
    except ValueError as error:
        raise ValueError(f"the documents hold no usable words: {error}") from error
    width = max(1, min(dim, weights.shape[0] - 1, weights.shape[1] - 1))
    svd = TruncatedSVD(n_components=width, algorithm="randomized", n_iter=7, random_state=seed)
    svd.fit(weights)
    components = svd.components_.astype(np.float32)
    vocabulary = {word: int(i) for word, i in vectorizer.vocabulary_.items()}
    encoder = TfidfSvdEncoder(vocabulary, vectorizer.idf_, components)
    encoder.save(out_dir)
    return encoder


class SentenceEncoder:
    """A transformers encoder with mean pooling over the tokens of each text."""

    def __init__(
        self, source: str | Path, revision: str | None = None, device: str = "auto"
    ) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        from zipp_dagster.imaging.pipelines import pick_device

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(str(source), revision=revision)
            self.model = AutoModel.from_pretrained(
                str(source), revision=revision, use_safetensors=True, dtype=torch.float32
            )
        except OSError as error:
            raise OSError(
                f"imaging.text_model={str(source)!r} could not be loaded: {error}. Give a "
                "directory with safetensors weights, or reach the hub."
            ) from error
        self.device = pick_device(device)
        self.model = self.model.to(self.device).eval()
        self.dim = int(self.model.config.hidden_size)
        positions = int(getattr(self.model.config, "max_position_embeddings", 512))
        self.limit = min(int(self.tokenizer.model_max_length), positions, 512)

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> np.ndarray:
        """Unit-norm embeddings, float32 [n, dim]; longer texts are cut at the model's limit."""
        import torch

        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), 32):
            part = list(texts[start : start + 32])
            batch = self.tokenizer(
                part, padding=True, truncation=True, max_length=self.limit, return_tensors="pt"
            ).to(self.device)
            with torch.no_grad():
                states = self.model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1).float()
            pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            out[start : start + len(part)] = pooled.cpu().numpy()
            progress(start + len(part), len(texts), "document embeddings")
        return _unit(out)


def load_text_encoder(
    source: str | Path, revision: str | None = None, device: str = "auto"
) -> TextEncoder:
    """The fitted encoder of a directory, else a sentence encoder (directory or hub id)."""
    directory = Path(source)
    described = directory / "text_encoder.json"
    if not described.exists():
        return SentenceEncoder(source, revision, device)
    document = json.loads(described.read_text(encoding="utf-8"))
    if document.get("format") != _FORMAT:
        raise ValueError(f"{described} has format {document.get('format')!r}, not {_FORMAT!r}")
    with np.load(directory / "text_encoder.npz", allow_pickle=False) as arrays:
        return TfidfSvdEncoder(document["vocabulary"], arrays["idf"], arrays["components"])
