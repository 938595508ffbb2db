from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.zipbench.worlds import png, scores_table
from zipp_dagster.imaging.image_files import TABLE
from zipp_dagster.persona.rewriting import REWRITTEN_SCHEMA
from zipp_dagster.zipbench.cases import Case, PastImage, case_set
from zipp_dagster.zipbench.export import CONFIGS, ExportSource, export_benchmark

RED, BLUE = (250, 10, 10), (10, 10, 250)


@pytest.fixture
def source(tmp_path) -> ExportSource:
    case = Case("c1", "zipbench", "7", "a fox", "a fox, ink", "sha", groups={"gender": "male"})
    leaked = replace(case, case_id="c2", history=(PastImage("a fox; ink", "s2"),), groups={})
    without = replace(case, case_id="c3", reference_image=None)
    prompt = {"prompt": "a fox, oil", "persona_id": "p", "language_model": "lexical", "shots": 0}
    prompts = [prompt | {"case_id": c, "method": "zipp_0shot", "flags": ""} for c in ("c1", "c2")]
    images = [
        {"case_id": c, "method": "zipp_0shot", "prompt": "a fox, oil", "seed": 1}
        | {"request_key": c, "truncated": False, "image": png(BLUE)}
        for c in ("c1", "c2")
    ]
    files = []
    for number, row in enumerate(images):
        files.append(tmp_path / f"part-{number}.parquet")
        pq.write_table(pa.Table.from_pylist([row], schema=TABLE), files[-1])
    return ExportSource(
        cases=case_set([case, leaked, without]).table(),
        prompts=pa.Table.from_pylist(prompts, schema=REWRITTEN_SCHEMA),
        scores=scores_table([("c1", 7, "zipp_0shot", 0.5), ("c2", 7, "zipp_0shot", None)]),
        images=files,
        references={"sha": png(RED)},
        facts={"profile": "sample"},
        synthetic=True,
    )


def test_the_directory_loads_with_the_datasets_library(source, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset

    out = tmp_path / "out"
    report = export_benchmark(source, out)
    assert dict(report.rows) == {"cases": 3, "prompts": 2, "scores": 2, "images": 2}
    loaded = {
        name: load_dataset(str(out), name, split="test", cache_dir=str(tmp_path / "cache"))
        for name in CONFIGS
    }
    first, second, third = loaded["cases"]
    assert first["image"].getpixel((0, 0)) == RED and third["image"] is None
    assert first["groups"] == [{"name": "gender", "value": "male"}]
    assert second["history"] == [{"prompt": "a fox; ink", "image": "s2"}]
    assert [row["clean"] for row in (first, second)] == [True, False]
    assert second["leaks"] == ["target_in_history"]
    assert loaded["images"][0]["image"].getpixel((0, 0)) == BLUE
    assert loaded["prompts"][1]["prompt"] == "a fox, oil"
    assert loaded["scores"]["clip_i"][:] == [0.5, None]


def test_the_card_says_what_it_is_and_that_it_is_synthetic(source, tmp_path):
    export_benchmark(source, tmp_path / "a")
    card = (tmp_path / "a/README.md").read_text()
    assert "**Synthetic data.**" in card and "license: apache-2.0" in card
    assert "| cases | 3 |" in card and "- `zipp_0shot`: The rewriter speaks" in card
    export_benchmark(replace(source, synthetic=False), tmp_path / "b")
    assert "**Posts of real people**" in (tmp_path / "b/README.md").read_text()


def test_a_second_export_replaces_the_first_and_other_directories_are_left_alone(source, tmp_path):
    out = tmp_path / "out"
    export_benchmark(source, out)
    export_benchmark(replace(source, images=source.images[:1]), out)
    assert [path.name for path in (out / "images").iterdir()] == ["test-00000.parquet"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="is not empty, and no data set"):
        export_benchmark(source, other)


def test_pictures_keep_their_bytes(source, tmp_path):
    export_benchmark(source, tmp_path / "out")
    row = pq.read_table(tmp_path / "out/images/test-00001.parquet").to_pylist()[0]
    assert row["image"]["path"] == "c2-zipp_0shot.png"
    assert Image.open(BytesIO(row["image"]["bytes"])).getpixel((0, 0)) == BLUE
