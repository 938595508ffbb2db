"""The strip of pictures in the README, from a finished run: `python docs/images/make_strip.py .zipp strip.png`.

Columns are six cases of the report's gallery, evenly spaced from its first (the largest gain of ZIPP
0-shot over no persona) to its last (the largest loss), so that nothing is hand-picked.
"""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from zipp_dagster.platform.lake import Lake

ROWS = {
    "no_persona": "no persona",
    "mismatched": "somebody else's\npersona",
    "zipp_0shot": "own persona",
    "posted": "what the person\nposted",
}
CASES, SIDE, LABEL, HEAD, GAP = 6, 128, 150, 26, 4


def rows_of(lake: Lake, asset: str) -> list[dict]:
    versions = [lake.current(asset, partition) for partition in lake.partitions(asset)]
    return [row for v in versions for f in v.files() for row in pq.read_table(f).to_pylist()]


def main(home: Path, out: Path) -> None:
    lake = Lake(home / "lake")
    gallery = json.loads((home / "reports/zipbench/scores.json").read_text())["gallery"]["cases"]
    chosen = [gallery[i] for i in np.linspace(0, len(gallery) - 1, CASES).round().astype(int)]
    prompts = {row["case_id"]: row for row in rows_of(lake, "benchmark_prompts")}
    media = {row["sha256"]: row["image"] for row in rows_of(lake, "media")}
    images = {(r["case_id"], r["method"]): r["image"] for r in rows_of(lake, "generated_images")}
    for case in chosen:
        images[case["case_id"], "posted"] = media[prompts[case["case_id"]]["reference_sha256"]]
    step, font = SIDE + GAP, ImageFont.load_default(15)
    sheet = Image.new("RGB", (LABEL + CASES * step, HEAD + len(ROWS) * step), "white")
    draw = ImageDraw.Draw(sheet)
    for y, (method, label) in enumerate(ROWS.items()):
        draw.multiline_text((6, HEAD + y * step + SIDE // 2 - 16), label, "black", font)
        for x, case in enumerate(chosen):
            if y == 0:
                middle = LABEL + x * step + SIDE // 2
                draw.text((middle, 4), case["base_prompt"], "black", font, anchor="ma")
            with Image.open(BytesIO(images[case["case_id"], method])) as picture:
                large = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(large, (LABEL + x * step, HEAD + y * step))
    sheet.quantize(160, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
