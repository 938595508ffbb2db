"""The benchmark as a Hugging Face data set directory: cases, prompts, images, scores, and a card.

`datasets.load_dataset(DIR, "cases")` reads it: Parquet files with the library's feature metadata, and a
`README.md` whose head names the configurations. Pictures are embedded bytes. The `datasets` library
itself is not needed to write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.imaging.stored_images import row_groups
from zipp_dagster.zipbench.registry import METHODS, METRICS, method_label, method_order

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_CASES = 64
"""Cases whose pictures are held at once."""
CONFIGS = ("cases", "prompts", "images", "scores")


@dataclass(frozen=True)
class ExportReport:
    """What was written: rows a configuration, and bytes of all files."""

    rows: Mapping[str, int]
    size: int


@dataclass(frozen=True)
class ExportSource:
    """What is exported: the tables of one run. `images` are generated_images' Parquet files.

    `facts` are shown in the card (sizes, versions); `synthetic` labels it.
    """

    cases: pa.Table
    prompts: pa.Table
    scores: pa.Table
    images: Sequence[Path]
    references: Mapping[str, bytes]
    facts: Mapping[str, str]
    synthetic: bool


def export_benchmark(source: ExportSource, out: Path) -> ExportReport:
    """Writes the data set directory. ValueError for a directory that holds something else.

    Some pictures are held in memory at a time, never all.
    """
    if out.exists() and any(out.iterdir()) and not (out / "README.md").is_file():
        raise ValueError(f"{out} is not empty, and no data set: choose another --out")
    rows = {
        "cases": _write(_cases(source), out / "cases/test-00000.parquet"),
        "prompts": _write([source.prompts], out / "prompts/test-00000.parquet"),
        "scores": _write([source.scores], out / "scores/test-00000.parquet"),
        "images": 0,
    }
    for old in (out / "images").glob("test-*.parquet"):
        old.unlink()
    for number, path in enumerate(source.images):
        rows["images"] += _write(_images(path), out / f"images/test-{number:05d}.parquet")
    (out / "README.md").write_text(_card(source, rows), "utf-8")
    files = [path for path in out.rglob("*") if path.is_file()]
    return ExportReport(rows, sum(path.stat().st_size for path in files))


def _images(path: Path) -> Iterator[pa.Table]:
    """A file of generated_images, one row group after another."""
    for table in row_groups([path], ["case_id", "method", "prompt", "seed", "image"]):
        pairs = zip(table["case_id"].to_pylist(), table["method"].to_pylist(), strict=True)
        names = [f"{case.replace('/', '-')}-{method}.png" for case, method in pairs]
        yield _with_images(table, table["image"].to_pylist(), names)


def _cases(source: ExportSource) -> Iterator[pa.Table]:
    """The canonical rows with the reference pictures inside; groups as a list of pairs."""
    table = source.cases
    groups = [
        [{"name": name, "value": value} for name, value in entries or []]
        for entries in table["groups"].to_pylist()
    ]
    pair = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))
    place = table.schema.get_field_index("groups")
    table = table.set_column(place, "groups", pa.array(groups, pair))
    clean = pa.array([not leaks for leaks in table["leaks"].to_pylist()], pa.bool_())
    table = table.append_column("clean", clean)
    for start in range(0, max(table.num_rows, 1), _CASES):
        part = table.slice(start, _CASES)
        wanted = part["reference_image"].to_pylist()
        pictures = [source.references.get(name) if name else None for name in wanted]
        names = [f"{name}.png" if name else None for name in wanted]
        yield _with_images(part, pictures, names)


def _with_images(
    table: pa.Table, pictures: Sequence[bytes | None], names: Sequence[str | None]
) -> pa.Table:
    """The table with its pictures as an Image feature, in a column `image`."""
    values = [
        None if picture is None else {"bytes": picture, "path": name}
        for picture, name in zip(pictures, names, strict=True)
    ]
    if "image" in table.column_names:
        table = table.drop_columns(["image"])
    return table.append_column("image", pa.array(values, _IMAGE))


def _write(tables: Iterable[pa.Table], path: Path) -> int:
    """Writes tables of one schema as one file, at least a row group each; returns the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, writer = 0, None
    try:
        for table in tables:
            if writer is None:
                features = {field.name: _feature(field.type) for field in table.schema}
                metadata = {"huggingface": json.dumps({"info": {"features": features}})}
                schema = table.schema.with_metadata(metadata)
                writer = pq.ParquetWriter(path, schema, compression="zstd")
            writer.write_table(table)
            rows += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    return rows


def _feature(kind: pa.DataType) -> Any:
    """An Arrow type as a feature of the `datasets` library."""
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    names = {pa.float64(): "float64", pa.float32(): "float32", pa.timestamp("us"): "timestamp[us]"}
    return {"dtype": names.get(kind, str(kind)), "_type": "Value"}


def _card(source: ExportSource, rows: Mapping[str, int]) -> str:
    """README.md: the head that `datasets` reads, and what a reader needs to know."""
    configs = "\n".join(
        f"- config_name: {name}\n"
        + ("  default: true\n" if name == "cases" else "")
        + f"  data_files:\n  - split: test\n    path: {name}/test-*.parquet"
        for name in CONFIGS
    )
    kind = "synthetic" if source.synthetic else "real"
    origin = (
        "**Synthetic data.** The people, their texts, tastes and pictures were generated. Scores show that"
        " the machinery works; they say nothing about real people, nor about the paper's claims."
        if source.synthetic
        else "**Posts of real people**, under keyed pseudonyms. Do not pass it on without a right to."
    )
    facts = "\n".join(f"- {name}: {value}" for name, value in source.facts.items())
    methods = sorted(set(source.prompts["method"].to_pylist()), key=method_order)
    listed = "\n".join(
        f"- `{name}`: {METHODS[name].description if name in METHODS else method_label(name)}"
        for name in methods
    )
    columns = "\n".join(f"- `{name}`: {metric.description}" for name, metric in METRICS.items())
    return f"""---
pretty_name: ZIPBench ({kind})
license: {"apache-2.0" if source.synthetic else "other"}
task_categories:
- text-to-image
tags:
- personalization
- {kind}
configs:
{configs}
---

# ZIPBench

{origin}

A case is one held-out post of a person: a base prompt without style words, the person's own prompt and
picture, and what a method may read of the person. `clean` is false where the target leaks into that.

| configuration | rows |
|---|---|
{chr(10).join(f"| {name} | {rows[name]:,} |" for name in CONFIGS)}

## Methods

{listed}

## Scores

{columns}

## This run

{facts}
"""
