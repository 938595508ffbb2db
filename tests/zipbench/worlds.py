"""Tiny benchmark worlds for the tests: cases, pictures that encode their own vector, encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
import pyarrow as pa
from PIL import Image

CASES = pa.schema(
    [
        ("case_id", pa.string()),
        ("user_id", pa.uint64()),
        ("base_prompt", pa.string()),
        ("reference_prompt", pa.string()),
        ("reference_sha256", pa.string()),
    ]
)
GENERATED = pa.schema(
    [
        ("case_id", pa.string()),
        ("method", pa.string()),
        ("prompt", pa.string()),
        ("truncated", pa.bool_()),
        ("image", pa.binary()),
    ]
)


def picture(*vector: float) -> bytes:
    """A "picture" that `embed` reads as this vector."""
    return np.array(vector, np.float64).tobytes()


def embed(images: Sequence[bytes]) -> np.ndarray:
    """The evaluation encoder of these tests."""
    return np.array([np.frombuffer(image, np.float64) for image in images])


def png(colour: tuple[int, int, int] = (200, 80, 40), size: int = 8) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


def cases_table(rows: Sequence[tuple[str, int, str | None]], prompt: str = "a fox") -> pa.Table:
    """Cases (case_id, user_id, reference_sha256)."""
    return pa.Table.from_pylist(
        [
            {
                "case_id": case,
                "user_id": user,
                "base_prompt": prompt,
                "reference_prompt": f"{prompt}, watercolor",
                "reference_sha256": sha,
            }
            for case, user, sha in rows
        ],
        schema=CASES,
    )


def generated_table(images: Mapping[tuple[str, str], bytes], prompt: str = "a fox") -> pa.Table:
    """Generated pictures by (case_id, method)."""
    return pa.Table.from_pylist(
        [
            {
                "case_id": case,
                "method": method,
                "prompt": prompt,
                "truncated": False,
                "image": image,
            }
            for (case, method), image in images.items()
        ],
        schema=GENERATED,
    )


def scores_table(rows: Sequence[tuple[str, int, str, float | None]]) -> pa.Table:
    """benchmark_scores from (case_id, user_id, method, clip_i); ids starting with "leaked" leak."""
    return pa.table(
        {
            "case_id": pa.array([row[0] for row in rows], pa.string()),
            "user_id": pa.array([row[1] for row in rows], pa.uint64()),
            "method": pa.array([row[2] for row in rows], pa.string()),
            "clip_i": pa.array([row[3] for row in rows], pa.float64()),
            "clip_t": pa.nulls(len(rows), pa.float64()),
            "rouge_l": pa.array([0.5] * len(rows), pa.float64()),
            "prompt_truncated": pa.array([False] * len(rows), pa.bool_()),
            "prompt_copied": pa.array([False] * len(rows), pa.bool_()),
            "leaked": pa.array([row[0].startswith("leaked") for row in rows], pa.bool_()),
            "encoder": pa.array(["test encoder"] * len(rows), pa.string()),
        }
    )
