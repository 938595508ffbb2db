"""Colour names as people combine them: "pink and mint", "muted browns", "deep blue and teal".

A small grammar, because colour phrases cannot be listed: modifiers, colour names joined by commas
or "and", and a word of looks ("tones", "palette"). A bare colour before another noun ("a red car")
belongs to the subject and is no palette. Listed phrases are in `vocabulary/aesthetics.yml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zipp_dagster.persona.lexicon import Hit, word_set

_FAMILIES: Final[dict[str, str]] = {
    "blue": "blue navy azure cobalt indigo cerulean sapphire ultramarine",
    "teal": "teal cyan turquoise aqua aquamarine",
    "green": "green emerald olive mint jade sage moss lime chartreuse mossy",
    "purple": "purple violet lavender lilac plum amethyst mauve",
    "pink": "pink rose blush fuchsia magenta coral peach salmon",
    "red": "red crimson scarlet maroon ruby burgundy",
    "orange": "orange amber rust terracotta apricot tangerine",
    "brown": "brown chestnut sienna umber ochre tan chocolate copper russet coffee",
    "yellow": "yellow lemon mustard",
    "gold": "gold golden bronze",
    "gray": "gray charcoal slate silver ash",
    "white": "white ivory cream beige",
    "black": "black ebony",
}
COLORS: Final[dict[str, str]] = {
    form: family
    for family, names in _FAMILIES.items()
    for name in names.split()
    for form in (name, name + "s")
}
# Words that are colours only beside another colour or a word of looks.
_AMBIGUOUS: Final = word_set(
    "rose roses plum plums peach peaches salmon lemon lemons mustard coffee chocolate copper cream "
    "ash slate moss mint lime limes ruby silver bronze olive olives gold rust coral black white "
    "emerald sapphire orange oranges tan sage bronze bronzes silvers golds"
)
SOFT: Final = word_set("soft pale light gentle delicate powdery faint milky baby pastel")
GLOW: Final = word_set("neon electric glowing fluorescent hot luminous laser acid")
MUTED: Final = word_set("muted dusty faded washed subdued desaturated")
BOLD: Final = word_set("bold bright vivid strong vibrant saturated primary punchy intense")
_MODIFIERS: Final = (
    SOFT | GLOW | MUTED | BOLD | word_set("deep dark rich warm cool cold royal regal burnt")
)
HEADS: Final = word_set(
    "tone tones hue hues shade shades palette palettes color colors tint tints scheme"
)
# What may follow a palette: small words, verbs, kinds of picture. Any other word is coloured.
_AFTER_PALETTE: Final = word_set(
    "in on at with for and or is are was were by as to from over than every all again only "
    "please i my me it its this that because when if but not never just always feels makes "
    "looks suits photo photos photograph photographs photography picture pictures image images "
    "drawing drawings film films movie portrait portraits art print prints sketch sketches "
    "illustration painting paintings style shots mood theme version everything anything"
)
_JOINERS: Final = frozenset((",", "and", "with"))


def find_colors(tokens: Sequence[str]) -> list[Hit[str]]:
    """Colour phrases and their palette's canonical name.

    A phrase counts with two colours or more, with a word of looks as its head ("blue tones",
    "pale colors"), or as a plural ("browns"). Colours that are things too ("emerald and olive")
    count beside a word of looks, or where they stand alone between commas.
    """
    hits: list[Hit[str]] = []
    if COLORS.keys().isdisjoint(tokens) and HEADS.isdisjoint(tokens):
        return hits
    i = 0
    while i < len(tokens):
        if tokens[i] not in COLORS and tokens[i] not in _MODIFIERS and tokens[i] not in HEADS:
            i += 1
            continue
        end = _extent(tokens, i)
        alone = _is_edge(tokens, i - 1) and _is_edge(tokens, end)
        palette = _palette(tokens[i:end], tokens[end : end + 1], alone)
        if palette:
            hits.append(Hit(i, end, palette))
        i = max(end, i + 1)
    return hits


def _extent(tokens: Sequence[str], start: int) -> int:
    """End of the longest run of modifiers, colours, joiners and heads from `start`."""
    end, i = start, start
    while i < len(tokens):
        token = tokens[i]
        if token in COLORS or token in _MODIFIERS or token in HEADS:
            i += 1
            # A trailing modifier belongs to what follows: "mossy greens, dark storm clouds".
            end = i if token not in _MODIFIERS or token in COLORS else end
            if token in HEADS and tokens[i : i + 1] != ["of"]:
                break
        elif (token == "of" and tokens[i - 1] in HEADS) or (
            token in _JOINERS and i > start and tokens[i - 1] in COLORS
        ):
            i += 1
        else:
            break
    return end


def _is_edge(tokens: Sequence[str], position: int) -> bool:
    return not 0 <= position < len(tokens) or not tokens[position][0].isalnum()


def _palette(run: Sequence[str], following: Sequence[str], alone: bool) -> str | None:
    colors = [token for token in run if token in COLORS]
    families = {COLORS[token] for token in colors}
    modifiers = {token for token in run if token in _MODIFIERS}
    headed = any(token in HEADS for token in run)
    plural = any(c.endswith("s") and c not in _AMBIGUOUS for c in colors)
    if not headed and not plural and len(set(colors)) < 2:
        return None
    known = not all(c in _AMBIGUOUS for c in colors) or families == {"black", "white"}
    if not headed and not known and not alone:
        return None
    # "black and white cats", "a red and white boat": colours of the subject that follows.
    described = bool(following) and following[0].isalpha() and following[0] not in _AFTER_PALETTE
    if described and not headed and not plural and not modifiers & GLOW:
        return None
    return _name(families, modifiers)


def _name(families: set[str], modifiers: set[str]) -> str | None:
    if modifiers & GLOW:
        return "neon colors"
    if modifiers & SOFT:
        return "soft pastel colors"
    if families and families <= {"black", "white", "gray"}:
        return "black and white"
    if modifiers & MUTED:
        return "muted colors"
    if "primary" in modifiers:
        return "bold primary colors"
    if not families:
        return "vivid colors" if modifiers & BOLD else _by_temperature(modifiers)
    if {"red", "yellow", "blue"} <= families:
        return "bold primary colors"
    for members, name in _PALETTES:
        if families <= members:
            return name
    return "vivid colors" if modifiers & BOLD else None


def _by_temperature(modifiers: set[str]) -> str | None:
    if "warm" in modifiers:
        return "warm colors"
    if modifiers & {"cool", "cold"}:
        return "cool colors"
    return "dark colors" if "dark" in modifiers else None


# The smallest palette that holds all families of a phrase names it; order matters.
_PALETTES: Final[tuple[tuple[frozenset[str], str], ...]] = (
    (frozenset({"blue", "teal"}), "blue tones"),
    (frozenset({"green"}), "green tones"),
    (frozenset({"orange", "brown"}), "warm autumn colors"),
    (frozenset({"orange", "brown", "red", "gold", "yellow"}), "warm colors"),
    (frozenset({"purple", "gold"}), "purple and gold"),
    (frozenset({"pink"}), "pink tones"),
    (frozenset({"orange", "teal"}), "teal and orange"),
    (frozenset({"green", "brown"}), "earth tones"),
    (frozenset({"green", "brown", "gold", "orange", "yellow", "red"}), "warm autumn colors"),
    (frozenset({"blue", "teal", "green"}), "cool colors"),
    (frozenset({"pink", "white", "green"}), "soft pastel colors"),
    (frozenset({"pink", "teal"}), "neon colors"),
    (frozenset({"blue", "teal", "white", "gray"}), "cool colors"),
)
