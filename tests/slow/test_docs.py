"""Every command of the guides is run, in the order in which a reader meets them, on one small home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import GUIDES, Block, blocks
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.world import generate_world

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

ORDER = ("docs/first-hour.md", "README.md", "docs/concepts.md", "docs/troubleshooting.md", "docs/lineage.md",
         "docs/your-models.md", "docs/operate.md", "docs/personas.md", "docs/encoder.md", "docs/studio.md",
         "docs/your-dumps.md", "docs/erasure.md")  # fmt: skip
PYTHON = ("docs/lineage.md", "docs/personas.md")
SMALL = {
    "ZIPP_SAMPLEWORLD__PEOPLE": "200",
    "ZIPP_SAMPLEWORLD__COMMUNITIES": "40",
    "ZIPP_SAMPLEWORLD__MONTHS": "2",
    "ZIPP_ZIPBENCH__USERS": "8",
    "ZIPP_ZIPBENCH__DEVELOPMENT_USERS": "6",
    "ZIPP_ZIPBENCH__BOOTSTRAP_REPLICATES": "200",
    "ZIPP_PROMOTION__MINIMUM_USERS": "2",
    "ZIPP_IMAGING__STEPS": "2",
    "ZIPP_ENCODER__HIDDEN": "16",
    "ZIPP_ENCODER__EPOCHS": "20",
    "ZIPP_ENCODER__USERS_PER_BATCH": "32",
    "ZIPP_ENCODER__BOOTSTRAP": "100",
    "ZIPP_WAREHOUSE__THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
SHIM = '#!/bin/sh\nexec {python} -m zipp_dagster.cli "$@"\n'


class Desk:
    """A reader's folder: the command line on the path, the files that the guides speak of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / ".venv" / "bin"
        self.bin.mkdir(parents=True)
        shim = self.bin / "zipp"
        shim.write_text(SHIM.format(python=sys.executable))
        shim.chmod(0o755)
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("ZIPP_", "DAGSTER_"))}
        self.environment = ours | SMALL | {
            "PATH": f"{self.bin}:{ours['PATH']}",
            "HOME": str(folder / "user"),
            "EDITOR": "true",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), ours.get("PYTHONPATH", "")]),
        }  # fmt: skip
        (folder / "user").mkdir()
        self.words: dict[str, str] = {}

    def run(self, script: str, code: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def in_place(self, text: str) -> str:
        """The text with the guide's example words replaced by what is there."""
        for word, found in self.words.items():
            text = text.replace(word, found)
        return text

    def block(self, block: Block) -> None:
        if block.runs:
            self.run(self.in_place(block.text), block.exit_code)
        elif block.language == "python":
            (self.folder / "block.py").write_text(self.in_place(block.text))
            self.run(f"{sys.executable} block.py")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A small home on which everything was made, as `make demo` does."""
    desk = Desk(tmp_path_factory.mktemp("guides"))
    desk.run("zipp run")
    people = json.loads(desk.run("zipp personas show --json"))
    dumps = desk.folder / "reddit"
    world = WorldSettings(people=60, communities=12, months=1, image_size=16, bad_lines_per_file=1)
    generate_world(world, dumps)
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.platform.lake import Lake

    lake = Lake(desk.folder / ".zipp" / "lake")
    generator = stored_model(lake.current("diffusion_model").directory).model
    authors = lake.current("sample_world").directory / "truth"
    import pyarrow.parquet as parquet

    somebody = parquet.read_table(next(iter(sorted(authors.glob("people*"))))).to_pylist()[3]
    desk.words = {
        "/data/reddit": str(dumps / "dumps"),
        "/models/generator": str(generator),
        "USER": next(p["user"] for p in people if not p["quarantined"]),
        "NAME": somebody["author"],
    }
    links = [f"u{u},i{(u * 7 + k) % 23},{k + 1}" for u in range(80) for k in range(6)]
    later = [f"u{u},i{(u * 7 + 6) % 23},1" for u in range(80)]
    for name, rows in (("a.csv", links), ("b.csv", later)):
        (desk.folder / name).write_text("\n".join(["user,item,count", *rows]) + "\n")
    (desk.folder / "form.json").write_text('{"profession": "nurse", "hobbies": ["hiking"]}')
    (desk.folder / "list.txt").write_text("t1_abc\nt3_xyz\n")
    pilot = next(b for b in blocks("docs/studio.md") if b.language == "toml")
    (desk.folder / "pilot.toml").write_text(pilot.text)
    yield desk


RUNNABLE = [
    block
    for guide in ORDER
    for block in blocks(guide)
    if block.runs or (block.language == "python" and guide in PYTHON)
]


@pytest.mark.parametrize("block", [pytest.param(b, id=b.name) for b in RUNNABLE])
def test_the_block_runs_as_it_is_written(desk, block):
    desk.block(block)


def test_no_guide_with_commands_was_left_out():
    assert {b.guide for guide in GUIDES for b in blocks(guide) if b.runs} == set(ORDER)


def test_the_asset_of_the_guide_to_extending_runs_on_a_table(desk):
    declared, tested, *_ = [b for b in blocks("docs/extend.md") if b.language == "python"]
    find = (
        "from zipp_dagster.platform.artifacts import Input\n"
        "from zipp_dagster.platform.lake import Lake\n"
        "from pathlib import Path\n"
        "interactions = Input('interactions', [Lake(Path('.zipp/lake')).current('interactions')])\n"
    )
    (desk.folder / "extend.py").write_text(declared.text + find + tested.text)
    assert "'community'" in desk.run(f"{sys.executable} extend.py")
