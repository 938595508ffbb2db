"""The figures that the paper reports (arXiv 2606.08841), to stand beside ours: another world.

Its people, generator, encoder and judge are others than a run's here; nothing is compared, tested or
ranked across the two. CS is CLIPScore ×100, PIG is PIGReward ×100, CMMD is lower-is-better.
"""

from __future__ import annotations

from dataclasses import dataclass

WORLD = (
    "1,500 Reddit users, 40,000 images by SDXL, CLIP ViT-L/14-336 and PIGReward as judges"
    " (arXiv 2606.08841)"
)


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's main table: CS / PIG pairs as printed, None where it prints a dash."""

    label: str
    method: str
    zipbench: tuple[float | None, float | None]
    pip: tuple[float | None, float | None]
    movielens: tuple[float | None, float | None]
    rapidata: tuple[float | None, float | None]
    raked: tuple[float | None, float | None]
    cmmd: float | None


_NONE = (None, None)
MAIN_TABLE: tuple[PaperRow, ...] = (
    PaperRow(
        "no persona, 0-shot",
        "no_persona",
        (59.1, 65.3),
        (57.7, 61.4),
        (73.7, 58.5),
        (67.3, 56.0),
        (66.9, 55.1),
        0.49,
    ),
    PaperRow(
        "ZIPP 0-shot",
        "zipp_0shot",
        (61.8, 73.4),
        (60.2, 67.3),
        (76.4, 64.2),
        (73.9, 61.5),
        (72.8, 60.9),
        0.42,
    ),
    PaperRow("FABRIC 1-shot", "fabric", _NONE, (63.7, None), (75.1, None), _NONE, _NONE, None),
    PaperRow(
        "Tailored Visions 3-shot",
        "tailored_visions",
        (62.4, 72.0),
        (63.1, 66.5),
        (80.1, 68.7),
        (77.4, 65.3),
        (73.8, 60.1),
        0.25,
    ),
    PaperRow(
        "ZIPP 3-shot",
        "zipp_3shot",
        (66.7, 77.5),
        (65.2, 69.9),
        (80.4, 71.4),
        (77.9, 68.2),
        (76.8, 67.0),
        0.19,
    ),
    PaperRow(
        "DrUM (fine-tuned)",
        "drum",
        (65.6, 74.4),
        (66.9, 68.0),
        (72.8, 66.2),
        (70.3, 63.5),
        (64.7, 56.8),
        0.31,
    ),
    PaperRow(
        "ViPer (fine-tuned)", "viper", _NONE, _NONE, (76.1, 70.5), (74.1, 63.1), (73.7, 60.8), 0.55
    ),
    PaperRow(
        "ZIPP 5-shot",
        "zipp_5shot",
        (68.5, 82.8),
        (66.3, 72.1),
        (80.9, 77.9),
        (78.3, 74.0),
        (77.4, 73.0),
        0.16,
    ),
)

ENCODERS: tuple[tuple[str, float, float], ...] = (
    ("TF-IDF", 55, 5.1),
    ("TF-IDF + NMI", 57, 5.3),
    ("LightGCN", 59, 6.2),
    ("LightGCN + ImageAlign", 62, 9.1),
    ("GraphSAGE", 63, 8.5),
    ("GraphSAGE + ImageAlign", 67, 10.2),
    ("GAT", 62, 11.8),
    ("GAT + ImageAlign", 73, 17.7),
)
"""Encoder, posting accuracy in %, lift in % of the personas mined with it."""

LANGUAGE_MODELS: tuple[tuple[str, float, float], ...] = (
    ("Claude-Sonnet-4", 0.63, 0.76),
    ("GPT-5-chat", 0.62, 0.72),
    ("Claude-3-Opus", 0.62, 0.72),
    ("Qwen3-32B", 0.61, 0.69),
    ("Claude-Sonnet-3.7", 0.62, 0.70),
    ("GPT-4o", 0.62, 0.69),
    ("Qwen3-235B", 0.61, 0.67),
    ("Gemini 2.5 Pro", 0.62, 0.68),
    ("GPT-4.1", 0.62, 0.67),
    ("DeepSeek-V3.2", 0.62, 0.67),
    ("Gemini 2.5 Flash", 0.61, 0.66),
    ("DeepSeek-V3", 0.62, 0.66),
    ("Qwen3-30B", 0.58, 0.61),
    ("Qwen3-8B", 0.60, 0.62),
)
"""Language model, CLIPScore without and with persona."""

DEMOGRAPHICS: tuple[tuple[str, float, float, float], ...] = (
    ("no persona", 67.3, 66.9, -0.6),
    ("Tailored Visions", 77.4, 73.8, -4.7),
    ("DrUM", 70.3, 64.7, -8.0),
    ("ViPer", 74.1, 73.7, -0.5),
    ("ZIPP 0-shot", 73.9, 72.8, -1.5),
    ("ZIPP 5-shot", 78.3, 77.4, -1.1),
)
"""Method, CS raw, CS raked to World Population Prospects 2024, Δ%."""
