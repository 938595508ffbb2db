"""Scores of single cases: clip_i, clip_t, ROUGE-L, truncation. One function a metric.

Comparing texts is in `text_metrics`; aggregates, intervals and set-level metrics (CMMD, Vendi) live
elsewhere. Images are embedded by
whatever encoder the caller passes; it must be the *evaluation* encoder, which the generator never
saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from zipp_dagster.imaging.stored_images import StoredImages, several
from zipp_dagster.progress import Progress, silent
from zipp_dagster.zipbench.text_metrics import rouge_l, tokens

ImageEmbedder = Callable[[Sequence[bytes]], NDArray[np.floating]]
"""Encoded pictures → float [n, d]. Norms do not matter."""

TextEmbedder = Callable[[Sequence[str]], NDArray[np.floating]]
"""Texts → float [n, d] in the space of the image embedder."""

SCORED = ["case_id", "method", "prompt", "truncated"]
"""The columns of generated_images that `score_cases` reads beside the pictures."""

_BATCH = 256


class EmbeddingError(ValueError):
    """An embedding that is not a finite, non-zero vector; names the case."""


@dataclass(frozen=True)
class ImageEmbeddings:
    """Unit-norm embeddings float32 [n, d] under unique names (`case_id/method`, or a sha256)."""

    names: tuple[str, ...]
    vectors: NDArray[np.float32]

    def row(self) -> dict[str, int]:
        """Name → row."""
        return {name: index for index, name in enumerate(self.names)}


class TableImages(Mapping[str, bytes]):
    """The pictures of a table in memory by name; those of files are `StoredImages`."""

    def __init__(self, names: Sequence[str], images: pa.ChunkedArray) -> None:
        self._place = {name: row for row, name in enumerate(names)}
        self._images = images
        if len(self._place) != len(images):
            raise ValueError("two pictures bear one name: clear the table and rebuild it")

    def __getitem__(self, name: str) -> bytes:
        return self._images[self._place[name]].as_py()

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)


@dataclass(frozen=True)
class CaseBatch:
    """What a per-case metric sees: equally long columns. Missing vectors are rows of NaN."""

    prompts: Sequence[str]
    reference_prompts: Sequence[str]
    generated: NDArray[np.float32]
    reference: NDArray[np.float32]
    reference_text: NDArray[np.float32]
    truncated: Sequence[bool]


def cosine(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Row-wise cosine float64 [n] of two [n, d] arrays; NaN where either row has a NaN."""
    left, right = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if left.shape != right.shape:
        raise ValueError(f"embeddings differ in shape: {left.shape} and {right.shape}")
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.clip(np.einsum("nd,nd->n", left, right) / norms, -1.0, 1.0)


def clip_i(batch: CaseBatch) -> NDArray[np.float64]:
    """Image-Align: generated picture against the reference picture."""
    return cosine(batch.generated, batch.reference)


def clip_t(batch: CaseBatch) -> NDArray[np.float64]:
    """Generated picture against the reference prompt's text."""
    return cosine(batch.generated, batch.reference_text)


def rouge(batch: CaseBatch) -> NDArray[np.float64]:
    """Rewritten prompt against the reference prompt."""
    return np.array(
        [rouge_l(a, b) for a, b in zip(batch.prompts, batch.reference_prompts, strict=True)]
    )


PER_CASE: dict[str, Callable[[CaseBatch], NDArray[np.float64]]] = {
    "clip_i": clip_i,
    "clip_t": clip_t,
    "rouge_l": rouge,
}
"""Metric name → score of each case, float64 [n] with NaN where it cannot be computed."""


def embed_images(
    images: Mapping[str, bytes],
    embedder: ImageEmbedder,
    progress: Progress = silent,
    names: Sequence[str] | None = None,
) -> ImageEmbeddings:
    """Embeds named pictures (all, or those of `names`) in batches and normalises the rows.

    One batch of pictures is held at a time. EmbeddingError names the first picture whose embedding
    is not finite or is zero, so that a broken encoder never turns into a score.
    """
    names = tuple(images if names is None else names)
    parts: list[NDArray[np.float32]] = []
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        parts.append(_checked(embedder(several(images, some)), some, "picture"))
        progress(start + len(some), len(names), "images embedded")
    vectors = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
    return ImageEmbeddings(names, vectors)


def embed_generated(
    generated: pa.Table, embedder: ImageEmbedder, progress: Progress = silent
) -> ImageEmbeddings:
    """Embeddings of `generated_images` rows in memory, named `case_id/method`.

    For few pictures; those of a whole benchmark are `embed_images` of `drawn_images`.
    """
    images = TableImages(generated_names(generated), generated["image"])
    return embed_images(images, embedder, progress)


def embed_references(
    cases: pa.Table, references: Mapping[str, bytes], embedder: ImageEmbedder
) -> ImageEmbeddings:
    """Embeddings of the cases' reference pictures that exist, named by sha256."""
    wanted = sorted({sha for sha in cases["reference_sha256"].to_pylist() if sha is not None})
    return embed_images(references, embedder, names=[sha for sha in wanted if sha in references])


def save_embeddings(embeddings: ImageEmbeddings, path: Path) -> None:
    """Writes names and vectors as a Parquet file, for readers that would embed them again."""
    width = embeddings.vectors.shape[1] if embeddings.vectors.ndim == 2 else 0
    vectors = pa.array(list(embeddings.vectors), pa.list_(pa.float32()))
    table = pa.table({"name": list(embeddings.names), "embedding": vectors})
    pq.write_table(table.replace_schema_metadata({"width": str(width)}), path, compression="zstd")


def load_embeddings(path: Path) -> ImageEmbeddings:
    """The inverse of `save_embeddings`."""
    table = pq.read_table(path)
    width = int((table.schema.metadata or {})[b"width"])
    rows = table["embedding"].to_pylist()
    vectors = np.array(rows, np.float32).reshape(len(rows), width)
    return ImageEmbeddings(tuple(table["name"].to_pylist()), vectors)


def drawn_images(files: Sequence[Path]) -> StoredImages:
    """The pictures of `generated_images` files by `case_id/method`, read as they are asked for."""
    return StoredImages(files, ["case_id", "method"], unique=True)


def generated_names(generated: pa.Table) -> list[str]:
    """`case_id/method` of each row."""
    pairs = zip(generated["case_id"].to_pylist(), generated["method"].to_pylist(), strict=True)
    return [f"{case}/{method}" for case, method in pairs]


def score_cases(
    cases: pa.Table,
    generated: pa.Table,
    references: Mapping[str, bytes],
    image_embedder: ImageEmbedder,
    text_embedder: TextEmbedder | None = None,
    *,
    encoder: str = "evaluation_encoder",
    embeddings: tuple[ImageEmbeddings, ImageEmbeddings] | None = None,
    leaks: Mapping[str, Sequence[str]] | None = None,
    progress: Progress = silent,
) -> pa.Table:
    """The `benchmark_scores` table: one row per generated picture, sorted by case and method.

    `cases` is benchmark_prompts, `generated` is generated_images (its `SCORED` columns are enough
    where `embeddings` are given), `references` maps reference_sha256 to a picture. A case without
    its picture has a null clip_i, never a zero; without a text embedder clip_t is null. `embeddings`
    (generated, references) spares a second pass of the encoder; `leaks` are the cases' leak flags by
    case id. EmbeddingError names the case of an embedding that is not a number; ValueError names a
    case that benchmark_prompts lacks.
    """
    made, given = embeddings or (
        embed_generated(generated, image_embedder, progress),
        embed_references(cases, references, image_embedder),
    )
    case_row = {case: row for row, case in enumerate(cases["case_id"].to_pylist())}
    keys = generated.select(["case_id", "method"]).to_pylist()
    unknown = sorted({key["case_id"] for key in keys} - set(case_row))
    if unknown:
        raise ValueError(f"case {unknown[0]} has pictures but no row in benchmark_prompts")
    order = sorted(range(len(keys)), key=lambda i: (keys[i]["case_id"], keys[i]["method"]))
    # Without the pictures: the column would be copied, and past 2 GiB it cannot be.
    generated = generated.select(SCORED).take(pa.array(order, pa.int64()))
    case_ids = generated["case_id"].to_pylist()
    of_case = cases.take(pa.array([case_row[case] for case in case_ids], pa.int64()))

    reference_prompts = of_case["reference_prompt"].to_pylist()
    width = made.vectors.shape[1]
    batch = CaseBatch(
        prompts=generated["prompt"].to_pylist(),
        reference_prompts=reference_prompts,
        generated=_rows(made, generated_names(generated), width),
        reference=_rows(given, of_case["reference_sha256"].to_pylist(), width),
        reference_text=_text_rows(text_embedder, reference_prompts, case_ids, width),
        truncated=generated["truncated"].to_pylist(),
    )
    columns: dict[str, pa.Array] = {
        "case_id": pa.array(case_ids, pa.string()),
        "user_id": of_case["user_id"].combine_chunks().cast(pa.uint64()),
        "method": pa.array(generated["method"].to_pylist(), pa.string()),
    }
    for name, score in PER_CASE.items():
        columns[name] = pa.array(score(batch), pa.float64(), from_pandas=True)  # NaN → null
    columns["prompt_truncated"] = pa.array(batch.truncated, pa.bool_())
    columns["prompt_copied"] = pa.array(
        [
            tokens(prompt) == tokens(reference)
            for prompt, reference in zip(batch.prompts, reference_prompts, strict=True)
        ],
        pa.bool_(),
    )
    columns["leaked"] = pa.array([bool((leaks or {}).get(case)) for case in case_ids], pa.bool_())
    columns["encoder"] = pa.array([encoder] * len(case_ids), pa.string())
    return pa.table(columns)


def _rows(source: ImageEmbeddings, names: Sequence[str | None], width: int) -> NDArray[np.float32]:
    """The named rows [n, width]; NaN for a name that the source lacks."""
    if source.names and source.vectors.shape[1] != width:
        raise ValueError(
            f"generated pictures have {width} dimensions, references {source.vectors.shape[1]}:"
            " embed both with one encoder"
        )
    place = source.row()
    result = np.full((len(names), width), np.nan, np.float32)
    rows = [(index, place[name]) for index, name in enumerate(names) if name in place]
    if rows:
        into, start = np.array(rows).T
        result[into] = source.vectors[start]
    return result


def _text_rows(
    embedder: TextEmbedder | None, texts: Sequence[str], cases: Sequence[str], width: int
) -> NDArray[np.float32]:
    if embedder is None or not texts:
        return np.full((len(texts), width), np.nan, np.float32)
    unique = dict(zip(texts, cases, strict=True))
    vectors = _checked(embedder(list(unique)), list(unique.values()), "reference prompt of case")
    if vectors.shape[1] != width:
        raise ValueError(
            f"the text embedder gives {vectors.shape[1]} dimensions, the image embedder {width}:"
            " they must share one space"
        )
    place = {text: row for row, text in enumerate(unique)}
    return vectors[[place[text] for text in texts]]


def _checked(vectors: NDArray[np.floating], names: Sequence[str], what: str) -> NDArray[np.float32]:
    """Unit-norm float32 rows, one a name."""
    array = np.asarray(vectors, np.float64)
    if array.ndim != 2 or len(array) != len(names):
        raise EmbeddingError(f"{len(names)} inputs came back as embeddings of shape {array.shape}")
    norms = np.linalg.norm(array, axis=1)
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        raise EmbeddingError(
            f"the embedding of {what} {names[int(bad[0])]} is not a finite, non-zero vector"
            f" ({len(bad)} of {len(names)} in its batch): check the evaluation encoder"
        )
    return (array / norms[:, None]).astype(np.float32)
