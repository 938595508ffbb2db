"""Text that says nothing about its author: reactions, questions, small talk, praise for others.

Most of what people write. Some of it names styles (`praise`), so that a reader who counts words
without asking whose taste they are is misled.
"""

from __future__ import annotations

import random

from zipp_dagster.sampleworld.vocabulary import MEDIA, MOODS, PALETTES

_SHORT = (
    *(
        "this.",
        "lol",
        "same",
        "came here to say this",
        "thanks!",
        "underrated comment",
        "wait what",
    ),
    *("source?", "following", "take my upvote", "can confirm", "big if true", "oh no", "nice one"),
    *("haha fair enough", "that escalated", "please post an update", "i feel attacked", "mood"),
    *(
        "😂😂",
        "👏",
        "aged like milk",
        "story time?",
        "r u serious",
        "n+1",
        "tell us more",
        "🔥",
        "hm",
    ),
    *("how is this only at {n} points", "happy cake day", "no way", "exactly my thought", "oof"),
)
_SMALL_TALK = (
    "the {item} i ordered on {day} still hasn't shipped",
    "i had {food} for the third time this week and i'd do it again",
    "my neighbour's dog barks at the {item} every {day}",
    "anyone else's app logging them out today?",
    "i read the whole thread and still don't know what happened",
    "back in the old days this would have cost {n} bucks",
    "the update broke the {item} again, classic",
    "somebody explain this to me like i'm five",
    "i put it in the fridge for {n} hours & it was fine",
    "my {relative} sent me the same link on {day}",
    "that ending made no sense and i've watched it {n} times",
    "pretty sure that was reposted on {day}",
    "there's a guy at the market who sells {food} for {n}, worth it",
    "the trick is to ignore the instructions",
    "i've had the same {item} for {n} years, never failed me",
    "you can tell who read the article and who didn't",
    "the parking situation there is a joke",
    "set a timer, you'll thank me later",
    "if the price is < {n} just buy it and see",
    "no one is going to mention the {item} in the background?",
    "i asked support and they told me to turn it off and on again",
    "my {relative} swears by {food}, i remain unconvinced",
    "the second season was better, fight me",
    "it's always the cable. always",
    "i'm going to need {n} more coffees before i can answer that",
    "i thought it was {day} until about an hour ago",
    "reminder to drink some water",
    "we tried that with the {item} and regretted it",
    "the comments here are better than the post",
    "they changed the recipe and the {food} hasn't been the same",
    "i waited {n} minutes and then just left",
    "does the warranty cover the {item}?",
    "my {relative} would have a field day with this",
    "honestly the {item} was the best part",
    "it depends, but mostly no",
    "not sure that's legal but i admire it",
    "the queue went round the block on {day}",
    "i keep losing the same {item} in my own house",
    "sorting by new is a dangerous hobby",
    "there are {n} unread messages and i'm afraid of all of them",
)
_TAILS = (
    *(
        ", or so my {relative} says",
        ", at least since {day}",
        " (not joking)",
        ", {n} percent sure",
    ),
    *(", but what do i know", ", give or take {n}", " and nobody noticed until {day}", " 😅"),
    *(", ask my {relative}", ", happened to me on {day} too", ", i have receipts", ", edit: typo"),
    *(", which is more than my {item} can say", ", just like the {food} incident", " tbh"),
)
_QUESTIONS = (
    "how do you all deal with {thing}?",
    "any advice on {thing} for a complete outsider?",
    "is {thing} really as bad as people say?",
    "what does {thing} even mean here?",
    "my {relative} won't stop talking about {thing}, what do i get them for a birthday?",
    "saw a video about {thing}, fascinating stuff",
    "how much does {thing} cost these days?",
    "never tried it, but {thing} looks like a lot of work",
)
_GALLERY_TALK = (
    "what size is this one?",
    "do you sell prints?",
    "the crop is a bit tight at the top",
    "how long did it take?",
    "i'd move the horizon a little lower",
    "can we have the rule about titles pinned please",
    "the compression on mobile is terrible, sorry everyone",
    "is there a version without the border?",
    "my {relative} asked for a copy",
    "the contest deadline is {day}, right?",
    "there's a fly in the top corner, or is that my screen",
    "saved, thanks",
    "third post this week that made me laugh",
    "did you post this on {day} too? looks familiar",
    "the flair is wrong but who cares",
)
_PRAISE = (
    "the {x} here is lovely, well done",
    "never thought {x} would work but you pulled it off",
    "is this {x}? looks great",
    "my {relative} does {x}, i'll show them this",
    "how long did the {x} take you?",
    "reminds me of some {x} in my dentist's waiting room",
    "saw someone selling {x} at the market on {day}",
    "op, what's your process for {x}?",
    "the last winner was also {x}, just saying",
    "my {relative} thinks this is {x} but i'm not so sure",
)
_SLOTS: dict[str, tuple[str, ...]] = {
    "day": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    "food": (
        *("dumplings", "lentil soup", "cold pizza", "pickles", "rice & beans", "leftover curry"),
        *("toast", "ramen", "fried plantain", "potato salad", "oatmeal", "grilled cheese"),
    ),
    "item": (
        *("keyboard", "umbrella", "toaster", "charger", "lamp", "blender", "bike lock", "router"),
        *("doorbell", "printer", "ladder", "thermostat", "backpack", "headphones", "calendar"),
    ),
    "relative": (
        *("cousin", "flatmate", "brother in law", "coworker", "aunt", "neighbour", "boss"),
        *("landlord", "barber", "old roommate", "dentist", "godfather", "lab partner"),
    ),
}
_STYLES: tuple[str, ...] = tuple(
    phrase
    for vocabulary in (PALETTES, MEDIA, MOODS)
    for phrases in vocabulary.values()
    for phrase in phrases
    if not phrase.startswith(("without", "under"))
)
TITLES = (
    "what's a small thing that improved your week?",
    "is it just me or is the {item} aisle shrinking",
    "weekly thread: {day} edition",
    "does anyone remember that show with the {item}?",
    "looking for recommendations under {n} dollars",
    "my {relative} asked me this and i had no answer",
    "{food}: yes or no?",
    "i finally fixed the {item}",
    "the {day} slump is real",
    "what would you do with {n} free hours?",
    "psa: check your {item}",
    "unpopular opinion about {food}",
)
DOMAINS = (
    *("dailyledger.example", "cityherald.example", "sciencebriefs.example", "v.redd.it"),
    *("youtube.com", "harbornews.example", "longreadsweekly.example", "openweather.example"),
)


def fill(template: str, rng: random.Random) -> str:
    """The template with its everyday slots ({n}, {day}, {food}, …) filled."""
    if "{" not in template:
        return template
    values: dict[str, object] = {"n": rng.randint(2, 90)}
    for slot, options in _SLOTS.items():
        if "{" + slot in template:
            values[slot] = rng.choice(options)
    return template.format_map(_Keep(values))


def noise(rng: random.Random, things: tuple[str, ...] = (), gallery: bool = False) -> str:
    """A comment that reveals nothing: one to four sentences, mostly short; `things` as topics."""
    if rng.random() < 0.22:
        return fill(rng.choice(_SHORT), rng)
    sentences = []
    for _ in range(rng.choices((1, 2, 3, 4), (60, 26, 10, 4))[0]):
        source = rng.random()
        if things and source < 0.4:
            template = rng.choice(_QUESTIONS).replace("{thing}", rng.choice(things))
        elif gallery and source < 0.6:
            template = rng.choice(_GALLERY_TALK)
        else:
            template = rng.choice(_SMALL_TALK)
        if template[-1] != "?" and rng.random() < 0.45:
            template += rng.choice(_TAILS)
        sentences.append(fill(template, rng))
    return join(sentences)


def praise(rng: random.Random) -> str:
    """A remark on somebody else's picture that names a style at random."""
    template = rng.choice(_PRAISE).replace("{x}", rng.choice(_STYLES))
    return fill(template, rng)


def join(sentences: list[str]) -> str:
    """Sentences in one paragraph, each closed by a stop where it has none."""
    closed = [s if s[-1] in ".?!)。؟।" else s + "." for s in sentences[:-1]]
    return " ".join([*closed, sentences[-1]])


class _Keep(dict[str, object]):
    """Leaves unknown slots as they are, for a second filling."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"
