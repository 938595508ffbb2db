from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from tests.zipbench.worlds import cases_table, generated_table, png, scores_table
from zipp_dagster.zipbench import svg
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.downstream import SCHEMA as DOWNSTREAM_SCHEMA
from zipp_dagster.zipbench.gallery import Picture, build_gallery, small_png
from zipp_dagster.zipbench.judges.base import judge_methods
from zipp_dagster.zipbench.leaderboard import build_leaderboard
from zipp_dagster.zipbench.metrics import TableImages, generated_names
from zipp_dagster.zipbench.preferences import VOTES_SCHEMA
from zipp_dagster.zipbench.report import Curve, GridRow, LineageRow, ReportData, write_report

SETTINGS = ZipbenchSettings(bootstrap_replicates=200)
METHODS = ("no_persona", "zipp_0shot", "mismatched")
PERSONA = "I collect <b>tin</b> robots."


def pictures_of(made):
    return TableImages(generated_names(made), made["image"])


def world(clip_i: bool = True):
    users = range(6)
    cases = cases_table([(f"c{u}", u, f"sha{u}" if clip_i else None) for u in users])
    made = generated_table({(f"c{u}", m): png() for u in users for m in METHODS}, "a fox at dawn")
    score = {"no_persona": 0.5, "zipp_0shot": 0.6, "mismatched": 0.52}
    scores = scores_table(
        [
            (f"c{u}", u, m, score[m] + (u / 100 if m == "zipp_0shot" else 0) if clip_i else None)
            for u in users
            for m in METHODS
        ]
    )
    references = {f"sha{u}": png((10, 20, 200)) for u in users} if clip_i else {}
    gallery = build_gallery(
        cases, made, pictures_of(made), references, dict.fromkeys(users, PERSONA), scores, 3
    )
    return scores, gallery


def data(synthetic: bool = True, clip_i: bool = True, **more) -> ReportData:
    scores, gallery = world(clip_i)
    return ReportData(
        synthetic=synthetic,
        profile="sample",
        source="a test world",
        created_at="2026-11-01 10:00 UTC",
        leaderboard=build_leaderboard(scores, SETTINGS),
        gallery=gallery,
        **more,
    )


def write(tmp_path, report: ReportData, settings=SETTINGS) -> tuple[str, dict]:
    path = write_report(report, tmp_path, settings)
    assert path == tmp_path / "index.html"
    return path.read_text(), json.loads((tmp_path / "scores.json").read_text())


class Page(HTMLParser):
    """Collects open tags and resources."""

    VOID = ("meta", "img", "br", "link", "input", "line", "circle", "polyline")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing_from_anywhere(tmp_path):
    html, _ = write(tmp_path, data())
    page = Page()
    page.feed(html)
    assert page.open == []
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert "<script" not in html and "http" not in html


def test_the_same_data_gives_the_same_bytes(tmp_path):
    first = write(tmp_path / "a", data())[0]
    assert first == write(tmp_path / "b", data())[0]


def test_the_papers_figures_stand_beside_ours_as_another_world(tmp_path):
    html, scores = write(
        tmp_path, data(not_run={"zipp_5shot": "the rewriter offers no zipp_5shot"})
    )
    rows = {row["method"]: row for row in scores["paper"]["rows"]}
    assert rows["zipp_0shot"]["paper"]["zipbench"] == [61.8, 73.4]
    assert rows["zipp_0shot"]["clip_i"] == pytest.approx(62.5)
    assert rows["fabric"]["clip_i"] is None and rows["mismatched"]["paper"] is None
    assert "61.8 / 73.4" in html and "Two worlds" in html and "arXiv 2606.08841" in html
    assert "ZIPP 5-shot: the rewriter offers no zipp_5shot." in html


def test_votes_in_the_leaderboard_are_no_paired_difference_of_scores(tmp_path):
    vote = {"study": "s", "left_method": "zipp_0shot", "right_method": "no_persona", "flags": ""}
    vote |= {"choice": "left", "seconds": 2.0, "prompt": ""}
    table = pa.Table.from_pylist(
        [
            vote | {"participant": f"p{n}", "pair": f"q{n}", "simulated": kind}
            for kind in (True, False)
            for n in range(4)
        ],
        schema=VOTES_SCHEMA,
    )
    with_votes = build_leaderboard(world()[0], SETTINGS, votes=table)
    assert {"vote_win_rate", "simulated_vote_win_rate"} <= set(with_votes["metric"].to_pylist())
    plain = write(tmp_path / "a", data())[1]
    assert write(tmp_path / "b", replace(data(), leaderboard=with_votes))[1] == plain


def test_every_section_says_which_versions_its_numbers_are_from(tmp_path):
    versions = [
        LineageRow(asset, None, f"{asset}-version-1", "run", "now")
        for asset in ("leaderboard", "benchmark_scores", "pluralism_scores")
    ]
    html, scores = write(tmp_path, data(lineage=versions))
    assert [entry["asset"] for entry in scores["provenance"]["leaderboard"]] == [
        "leaderboard",
        "benchmark_scores",
    ]
    assert html.count('title="leaderboard-version-1"') == 4  # three sections, and the list of all


def test_grids_show_what_varies_and_hide_real_people(tmp_path):
    rows = [
        GridRow("same_prompt", "a fox", [Picture("person A", "a fox, ink", png())]),
        GridRow("same_persona", "person A", [Picture("an owl", "an owl, ink", png())], PERSONA),
    ]
    html, scores = write(tmp_path / "a", data(grids=rows))
    assert "One prompt, through the personas of different people" in html
    assert scores["grids"][1]["pictures"] == [{"label": "an owl", "prompt": "an owl, ink"}]
    html, scores = write(tmp_path / "b", data(synthetic=False, grids=rows))
    assert scores["grids"] == [] and "an owl, ink" not in html


def test_a_judges_table_shows_what_it_could_not_decide(tmp_path):
    images = {
        f"c{u}/{m}": b"x" * n for u in range(4) for m, n in (("zipp_0shot", 2), ("no_persona", 1))
    }

    class Length:
        name = "length of the file"

        def score(self, prompts, images):
            return np.array([float(len(image)) for image in images])

    cases = {f"c{u}": (u, "a fox", "") for u in range(4)}
    table = judge_methods(Length(), images, cases, [("zipp_0shot", "no_persona")], 0.95)
    html, scores = write(tmp_path, data(judge=table))
    assert scores["judge"][0]["wins"] == 4 and scores["judge"][0]["win_rate"] == 1.0
    assert "length of the file" in html and "Inconclusive" in html


def test_failures_are_the_largest_losses_the_worst_first():
    cases = cases_table([(f"c{u}", u, None) for u in range(4)])
    made = generated_table(
        {(f"c{u}", m): png() for u in range(4) for m in ("no_persona", "zipp_0shot")}
    )
    gains = {0: 0.1, 1: -0.3, 2: -0.1, 3: -0.2}
    scores = scores_table(
        [
            (f"c{u}", u, m, 0.5 + (g if m == "zipp_0shot" else 0))
            for u, g in gains.items()
            for m in ("no_persona", "zipp_0shot")
        ]
    )
    found = build_gallery(cases, made, pictures_of(made), {}, {}, scores, 2, failures=True)
    assert [case.case_id for case in found] == ["c1", "c3"]
    everything = build_gallery(cases, made, pictures_of(made), {}, {}, scores, 9, failures=True)
    assert [case.case_id for case in everything] == ["c1", "c3", "c2"]


def test_synthetic_data_is_labelled_and_says_what_the_own_persona_does(tmp_path):
    html, scores = write(tmp_path, data())
    assert "Synthetic data" in html and "(synthetic data)</title>" in html
    own = scores["findings"][0]
    assert (own["method"], own["baseline"]) == ("zipp_0shot", "mismatched")
    assert own["value"] == pytest.approx(0.105)
    assert own["sentence"].startswith("A person's own persona rather than somebody else's brings")
    assert own["sentence"].replace("'", "&#39;") in html


def test_every_score_on_the_page_is_in_the_json(tmp_path):
    html, scores = write(tmp_path, data())
    numbers = set()

    def collect(value) -> None:
        if isinstance(value, dict):
            for entry in value.values():
                collect(entry)
        elif isinstance(value, list):
            for entry in value:
                collect(entry)
        elif isinstance(value, float):
            numbers.add(f"{abs(value):.3f}")

    collect(scores)
    body = re.sub(r"<style>.*?</style>|<svg.*?</svg>|src=\"[^\"]*\"", "", html, flags=re.S)
    shown = set(re.findall(r"(?<!\d)\d\.\d{3}(?!\d)", body))
    assert shown and shown <= numbers


def test_the_gallery_runs_from_the_largest_gain_to_the_smallest(tmp_path):
    html, scores = write(tmp_path, data())
    gains = [case["gain"] for case in scores["gallery"]["cases"]]
    assert gains == pytest.approx([0.15, 0.13, 0.10])
    assert "Not hand-picked" in html and html.count("posted by the person") == 3


def test_other_peoples_text_is_escaped(tmp_path):
    html, _ = write(tmp_path, data())
    assert "<b>tin</b>" not in html and "&lt;b&gt;tin&lt;/b&gt;" in html


def test_real_people_are_hidden_in_both_files_unless_allowed(tmp_path):
    html, _ = write(tmp_path, data(synthetic=False))
    text = html + (tmp_path / "scores.json").read_text()
    assert "robots" not in text and "a fox" not in text and "data:image" not in text
    assert "show_real_personas" in html and "Synthetic" not in html
    allowed = ZipbenchSettings(bootstrap_replicates=200, show_real_personas=True)
    html, _ = write(tmp_path, data(synthetic=False), allowed)
    assert "robots" in html and "do not pass this page" in html


def test_without_reference_pictures_the_page_says_so_and_shows_no_clip_i(tmp_path):
    html, scores = write(tmp_path, data(clip_i=False))
    assert "no reference pictures" in html and scores["leaderboard"]["metrics"] == [
        "rouge_l",
        "prompt_truncated",
        "prompt_copied",
    ]
    assert scores["findings"] == [] and "No reference picture." in html


def test_an_empty_report_names_every_missing_part_with_its_reason(tmp_path):
    empty = ReportData(True, "sample", "nothing", "now", skipped={"curves": "no training ran"})
    html, scores = write(tmp_path, empty)
    reasons = {entry["part"]: entry["reason"] for entry in scores["skipped"]}
    assert reasons["curves"] == "no training ran" and len(reasons) == 14
    assert "no training ran" in html
    with pytest.raises(ValueError, match="skipped names 'curve'"):
        write_report(ReportData(True, "p", "s", "t", skipped={"curve": "x"}), tmp_path)


def test_curves_lineage_and_other_tables_show_and_a_value_that_is_not_a_number_is_a_gap(tmp_path):
    html, scores = write(
        tmp_path,
        data(
            curves=[
                Curve("loss", "epoch", "loss", {"train": [(1, 2.0), (2, float("nan")), (3, 1.0)]})
            ],
            lineage=[LineageRow("leaderboard", None, "abcdef0123456789", "run-1", "2026-11-01")],
            encoder_ablation=pa.table(
                {"encoder": ["GATv2"], "hits_at_50": [0.331], "lift": [None]}
            ),
        ),
    )
    assert scores["curves"][0]["series"]["train"][1] == [2, None]
    assert "abcdef012345</code>" in html and "0.331" in html and "<title>loss</title>" in html


def test_variants_stand_by_what_they_change_and_methods_run_for_few_people_are_named(tmp_path):
    shared = {"cases": 4, "users": 2, "difference": 0.05, "low": -0.01, "high": 0.1}
    variants = [
        {"dimension": "ranking", "variant": "attention", **shared},
        {"dimension": "ranking", "variant": "count", **shared},
        {"dimension": "generator", "variant": "diffusion_model", "note": "only this one", **shared},
    ]
    few = [
        (f"c{u}", u, m, 0.5) for m, users in (("lora", 3), ("no_persona", 8)) for u in range(users)
    ]
    board = build_leaderboard(scores_table(few), SETTINGS)
    table = pa.Table.from_pylist(variants, schema=DOWNSTREAM_SCHEMA)
    html, scores = write(tmp_path, replace(data(ablations=table), leaderboard=board))
    assert [(b["dimension"], len(b["rows"])) for b in scores["ablations"]] == [
        ("ranking", 2),
        ("generator", 1),
    ]
    assert "diffusion_model: only this one." in html
    assert scores["some_people"] == ["LoRA a person"] and "LoRA a person learn every person" in html


def test_axes_have_round_ticks_and_survive_equal_values():
    axis = svg.make_axis([0.41, 0.48, None])
    assert axis.ticks == pytest.approx((0.42, 0.44, 0.46, 0.48))
    assert svg.make_axis([0.2, 0.2]).place(0.2) == pytest.approx(0.5)
    assert svg.make_axis([0.0]) is not None and svg.make_axis([None]) is None
    assert 0.0 in svg.make_axis([0.2, 0.3], zero=True).ticks


def test_pictures_are_embedded_as_small_pngs_whatever_their_format():
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (900, 300)).save(buffer, "JPEG")
    small = Image.open(BytesIO(small_png(buffer.getvalue(), 320)))
    assert (small.format, small.size) == ("PNG", (320, 107))
