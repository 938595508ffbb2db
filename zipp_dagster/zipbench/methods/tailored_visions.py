"""Tailored Visions (arXiv 2310.08129): retrieval of past prompts, no persona."""

from __future__ import annotations

from zipp_dagster.zipbench.methods.base import Method, Rewriting

METHOD = Method(
    name="tailored_visions",
    label="Tailored Visions 3-shot",
    role="baseline",
    description="The person's three past prompts nearest to the base prompt, and no persona.",
    prompts=Rewriting("tailored_visions"),
)

BM25 = Method(
    name="tailored_visions_bm25",
    label="Tailored Visions 3-shot (BM25)",
    role="baseline",
    description="The same with past prompts ranked by words (BM25), not by their embeddings.",
    prompts=Rewriting("tailored_visions_bm25"),
)
