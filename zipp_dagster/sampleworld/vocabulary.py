"""The four visual factors of the sample world, and the words that name them.

Here live the factor values, their synonyms, the context of each subject and the words that are kept
out of the generator's captions (`PARAPHRASES`). How factors look is in `render.py`, how they are
put into sentences in `captions.py`; people and their tastes are elsewhere in this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

Phrases = dict[str, tuple[str, ...]]

SUBJECTS: Phrases = {
    "cat": ("a cat", "a kitten", "a sitting cat", "a house cat", "a curious cat", "a kitty"),
    "owl": ("an owl", "a barn owl", "a wise old owl", "an owl with big eyes", "a little owl"),
    "fish": ("a fish", "a goldfish", "a tropical fish", "a swimming fish", "a koi fish"),
    "rabbit": ("a rabbit", "a bunny", "a hare", "a rabbit with long ears", "a little bunny"),
    "castle": (
        "a castle",
        "a fortress",
        "a medieval castle",
        "a palace with towers",
        "an old castle",
    ),
    "lighthouse": (
        "a lighthouse",
        "a lighthouse by the sea",
        "a striped lighthouse",
        "an old lighthouse",
        "a beacon tower",
    ),
    "cottage": (
        "a cottage",
        "a small house",
        "a cabin",
        "a farmhouse",
        "a cozy cottage",
        "a house",
    ),
    "sailboat": (
        "a sailboat",
        "a sailing ship",
        "a boat with sails",
        "a yacht",
        "a small sailboat",
    ),
    "car": ("a car", "an old car", "a vintage car", "a small automobile", "a parked car"),
    "balloon": (
        "a hot air balloon",
        "a hot-air balloon",
        "a balloon with a basket",
        "a striped hot air balloon",
        "a floating balloon",
    ),
    "tree": ("a tree", "an oak tree", "a lone tree", "a big old tree", "a leafy tree"),
    "mountain": (
        "a mountain",
        "a snowy peak",
        "a mountain peak",
        "snow-capped mountains",
        "a summit",
    ),
    "flower": (
        "a flower",
        "a blossom",
        "a daisy",
        "a sunflower",
        "a flower in bloom",
        "a blooming flower",
    ),
    "mushroom": (
        "a mushroom",
        "a toadstool",
        "a spotted mushroom",
        "a red-capped toadstool",
        "a fungus",
    ),
}

SUBJECT_CONTEXTS: dict[str, str] = {
    "cat": "animals",
    "owl": "animals",
    "fish": "animals",
    "rabbit": "animals",
    "castle": "places",
    "lighthouse": "places",
    "cottage": "places",
    "sailboat": "vehicles",
    "car": "vehicles",
    "balloon": "vehicles",
    "tree": "nature",
    "mountain": "nature",
    "flower": "nature",
    "mushroom": "nature",
}

PALETTES: Phrases = {
    "autumn": (
        "warm autumn colors",
        "autumn colors",
        "orange and brown tones",
        "warm browns",
        "rust and amber hues",
        "fall colors",
    ),
    "ocean": (
        "cool ocean blues",
        "blue tones",
        "shades of blue",
        "deep blue and teal",
        "cool blues",
        "a marine palette",
    ),
    "pastel": (
        "soft pastel colors",
        "pastel tones",
        "pale pink and mint",
        "gentle pastels",
        "powdery light colors",
    ),
    "neon": (
        "glowing neon colors",
        "neon lights",
        "electric pink and cyan",
        "fluorescent colors",
        "cyberpunk neon",
    ),
    "monochrome": (
        "monochrome",
        "black and white",
        "shades of gray",
        "grayscale",
        "without color",
        "muted gray tones",
    ),
    "forest": (
        "forest greens",
        "green tones",
        "mossy greens",
        "shades of green",
        "emerald and olive",
        "leafy greens",
    ),
    "royal": (
        "royal purple and gold",
        "purple and gold",
        "violet and golden hues",
        "deep purple tones",
        "regal purples",
    ),
    "primary": (
        "bold primary colors",
        "bright red, yellow and blue",
        "vivid primary colors",
        "strong bright colors",
        "colorful primary tones",
    ),
}

MEDIA: Phrases = {
    "watercolor": (
        "watercolor",
        "watercolor painting",
        "aquarelle",
        "loose watercolor wash",
        "watercolor on paper",
    ),
    "oil": (
        "oil painting",
        "oil on canvas",
        "thick brush strokes",
        "impasto painting",
        "impressionist oil painting",
    ),
    "pixel": ("pixel art", "8-bit pixel art", "retro game sprite", "16-bit style", "blocky pixels"),
    "ink": ("ink drawing", "line drawing", "pen and ink", "ink sketch", "black line art"),
    "vector": (
        "flat vector art",
        "flat illustration",
        "minimalist flat design",
        "clean vector illustration",
        "geometric flat shapes",
    ),
    "glass": (
        "stained glass",
        "stained glass window",
        "leaded glass",
        "church window style",
        "colored glass panels",
    ),
}

MOODS: Phrases = {
    "sunny": (
        "cheerful sunny day",
        "sunny day",
        "bright sunshine",
        "sunlit afternoon",
        "happy summer day",
        "clear sky with a bright sun",
    ),
    "night": (
        "mysterious night",
        "starry night",
        "under the moon",
        "moonlit night",
        "midnight",
        "dark night with stars",
    ),
    "mist": (
        "serene mist",
        "misty morning",
        "foggy morning",
        "calm fog",
        "hazy dawn",
        "quiet morning haze",
    ),
    "storm": (
        "dramatic storm",
        "stormy weather",
        "thunderstorm",
        "lightning and rain",
        "dark storm clouds",
        "heavy rain",
    ),
}

# Words that the text tower of CLIP learns and the generator's captions never use: the frozen list
# on which the benchmark asks whether the meaning of a word reaches the picture by its embedding
# alone.
PARAPHRASES: dict[str, Phrases] = {
    "subject": {
        "cat": ("a feline", "a tabby"),
        "owl": ("a night bird", "a hooting owl"),
        "fish": ("a carp", "a sea creature with fins"),
        "rabbit": ("a cottontail", "a long-eared animal"),
        "castle": ("a citadel", "a stronghold"),
        "lighthouse": ("a coastal beacon", "a harbor light"),
        "cottage": ("a chalet", "a little home"),
        "sailboat": ("a sloop", "a boat at sea"),
        "car": ("a motorcar", "a sedan"),
        "balloon": ("an airship with a basket", "a drifting balloon"),
        "tree": ("a maple", "a shady elm"),
        "mountain": ("an alpine ridge", "a high hill with snow"),
        "flower": ("a petaled plant", "a marigold"),
        "mushroom": ("a fly agaric", "a forest cap"),
    },
    "palette": {
        "autumn": ("burnt orange and chestnut", "harvest tones"),
        "ocean": ("azure and navy", "sea colors"),
        "pastel": ("cotton candy tints", "delicate pale hues"),
        "neon": ("glowing magenta", "synthwave colors"),
        "monochrome": ("colorless", "charcoal grays"),
        "forest": ("jade tones", "woodland colors"),
        "royal": ("amethyst and gold", "lavish violet"),
        "primary": ("crayon colors", "pop art colors"),
    },
    "medium": {
        "watercolor": ("water-based paint", "wet brush wash"),
        "oil": ("painterly canvas", "palette knife painting"),
        "pixel": ("low resolution sprite", "arcade graphics"),
        "ink": ("pen lines", "hatched drawing"),
        "vector": ("simple shapes", "poster graphic"),
        "glass": ("cathedral glass", "glass mosaic"),
    },
    "mood": {
        "sunny": ("radiant midday", "joyful daylight"),
        "night": ("nocturnal scene", "after dark"),
        "mist": ("tranquil vapor", "soft fog"),
        "storm": ("raging tempest", "thunder clouds"),
    },
}

FACTOR_NAMES = ("subject", "palette", "medium", "mood")
FACTOR_VALUES: dict[str, Phrases] = {
    "subject": SUBJECTS,
    "palette": PALETTES,
    "medium": MEDIA,
    "mood": MOODS,
}


@dataclass(frozen=True, order=True)
class Factors:
    """What one picture shows: a subject, in a palette, a medium and a mood."""

    subject: str
    palette: str
    medium: str
    mood: str

    def __post_init__(self) -> None:
        for name, phrases in FACTOR_VALUES.items():
            value = getattr(self, name)
            if value not in phrases:
                raise ValueError(f"unknown {name} {value!r}: one of {', '.join(phrases)}")

    def indices(self) -> tuple[int, int, int, int]:
        """The position of each value within its vocabulary, in the order of `FACTOR_NAMES`."""
        return (
            list(SUBJECTS).index(self.subject),
            list(PALETTES).index(self.palette),
            list(MEDIA).index(self.medium),
            list(MOODS).index(self.mood),
        )


def all_factors() -> list[Factors]:
    """Every combination (14 x 8 x 6 x 4 = 2,688), in a fixed order."""
    return [Factors(*values) for values in product(SUBJECTS, PALETTES, MEDIA, MOODS)]
