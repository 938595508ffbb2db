"""The words of comments and text posts: who reveals what, where, and how often.

Tastes come from `Person.shown`, so text knows nothing that the coupling hides. Frames are in
`phrases.py`, noise in `chatter.py`; prompts of image posts are in `posts.py`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from zipp_dagster.sampleworld import catalog, chatter, phrases
from zipp_dagster.sampleworld.communities import Community
from zipp_dagster.sampleworld.people import CONTEXTS, STYLE_VALUES, Person, text_stream
from zipp_dagster.sampleworld.vocabulary import FACTOR_VALUES, SUBJECT_CONTEXTS, SUBJECTS

# Shares of a visual community's comments; what is left is noise.
_TASTE, _DISLIKE, _INTEREST, _PRAISE = 0.36, 0.03, 0.05, 0.12
# Share of self-disclosure where it is on topic, and anywhere else.
_ON_TOPIC, _ANYWHERE = 0.25, 0.03


@dataclass(frozen=True)
class Said:
    """A text and what it reveals: `signal` names the kind, `context` that of a taste."""

    body: str
    signal: str
    context: str | None = None
    title: str = ""


class Writer:
    """One person's voice: their words depend on the seed, themselves and the community only."""

    def __init__(self, person: Person, seed: int) -> None:
        self.person = person
        self.rng = text_stream(seed, "text", person.index)
        low, high = phrases.AGE_NUMBERS[person.age_band]
        self.age = self.rng.randint(low, high)
        self.city = self.rng.choice(person.country.cities)
        self.proper = self.rng.random() < 0.45

    def comment(self, community: Community) -> Said:
        """One comment in this community."""
        said = self._visual(community) if community.visual else self._verbal(community)
        return Said(self._voice(said.body), said.signal, said.context)

    def text_post(self, community: Community) -> Said:
        """A text post: its title and body together reveal what `signal` says."""
        rng = self.rng
        if community.visual and rng.random() < 0.35:
            context = self._context_of(community)
            title = self._taste(rng.choice(phrases.TASTE_TITLES), context)
            body = self._statement(context, scoped=community.kind == "style")
            return Said(self._voice(body), "taste", context, self._voice(title))
        title = chatter.fill(rng.choice(chatter.TITLES), rng)
        said = Said("", "noise") if community.visual else self._verbal(community)
        body = "" if rng.random() < 0.2 and said.signal == "noise" else said.body
        return Said(self._voice(body), said.signal, said.context, self._voice(title))

    def _visual(self, community: Community) -> Said:
        rng = self.rng
        share = rng.random() * (1.0 if self.person.creator else 1.4)
        context = self._context_of(community)
        if share < _TASTE:
            return Said(
                self._wrap(self._statement(context, scoped=community.kind == "style")),
                "taste",
                context,
            )
        share -= _TASTE
        if share < _DISLIKE:
            return Said(self._dislike(context, community.kind == "style"), "dislike", context)
        share -= _DISLIKE
        if share < _INTEREST:
            return Said(self._taste(rng.choice(phrases.INTERESTS), context), "interest", context)
        share -= _INTEREST
        if share < _PRAISE:
            return Said(chatter.praise(rng), "noise")
        if rng.random() < _ANYWHERE:
            return self._about_me()
        return Said(chatter.noise(rng, gallery=True), "noise")

    def _verbal(self, community: Community) -> Said:
        rng, person, kind = self.rng, self.person, community.kind
        share = rng.random()
        if kind == "profession" and community.topic == person.profession.name and share < _ON_TOPIC:
            return Said(self._wrap(self._profession()), "profession")
        if kind == "hobby" and share < _ON_TOPIC:
            for hobby in person.hobbies:
                if hobby.name == community.topic:
                    return Said(self._wrap(self._hobby(hobby)), "hobby")
        if kind == "place" and community.topic == person.country.name and share < _ON_TOPIC:
            return Said(self._wrap(self._place()), "place")
        if kind == "language" and community.topic == person.country.language and share < 0.5:
            native = phrases.NATIVE.get(community.topic, ())
            if native and share < 0.38:
                return Said(rng.choice(native), "language")
            return Said(self._language(), "language")
        if kind == "sensitive" and share < _ON_TOPIC:
            template = rng.choice(phrases.SENSITIVE)
            thing = rng.choice(_things(community))
            return Said(template.format(thing=thing, n=rng.randint(2, 30)), "sensitive")
        if share > 1 - _ANYWHERE * (2 if kind in ("profession", "place") else 1):
            return self._about_me()
        return Said(chatter.noise(rng, things=_things(community)), "noise")

    def _about_me(self) -> Said:
        """Something about the author that the community did not ask for."""
        kind = self.rng.choice(("age", "gender", "place", "profession", "hobby", "language"))
        if kind == "age":
            sentence = self.rng.choice(phrases.AGE).format(n=self.age)
        elif kind == "gender":
            sentence = self.rng.choice(phrases.GENDER[self.person.gender])
        elif kind == "place":
            sentence = self._place()
        elif kind == "profession":
            sentence = self._profession()
        elif kind == "language" and self.person.country.language != "English":
            sentence = self._language()
        else:
            kind, sentence = "hobby", self._hobby(self.rng.choice(self.person.hobbies))
        return Said(self._wrap(sentence), kind)

    def _place(self) -> str:
        template = self.rng.choice(phrases.PLACE)
        return template.format(city=self.city, country=_the(self.person.country.name))

    def _profession(self) -> str:
        trade = self.person.profession
        bare = trade.name
        job = "retired" if bare == catalog.RETIRED else _article(bare)
        template = self.rng.choice(phrases.PROFESSION)
        if bare == catalog.RETIRED:
            template = self.rng.choice(
                ("{job}, so my week is {thing}", "being {job} is mostly {thing}")
            )
        return template.format(job=job, job_bare=bare, thing=self.rng.choice(trade.things))

    def _hobby(self, trade: catalog.Trade) -> str:
        template = self.rng.choice(phrases.HOBBY)
        return template.format(
            hobby=trade.name, thing=self.rng.choice(trade.things), n=self.rng.randint(2, 15)
        )

    def _language(self) -> str:
        template = self.rng.choice(phrases.LANGUAGE)
        return template.format(language=self.person.country.language)

    def _context_of(self, community: Community) -> str:
        """The context that a statement here is about: the topic, or where this style is liked."""
        if community.kind == "context":
            return community.topic
        factor = str(community.factor)
        shown = self.person.shown
        liked = [c for c in CONTEXTS if getattr(shown[c], factor) == community.value]
        return self.rng.choice(liked or CONTEXTS)

    def _statement(self, context: str, scoped: bool) -> str:
        """All of the shown taste, two factors or one; `scoped` says what subjects it is for."""
        rng = self.rng
        size = rng.random()
        if size < 0.5:
            template = rng.choice(phrases.TASTE_FULL)
        elif size < 0.82:
            template = rng.choice(phrases.TASTE_TWO[rng.choice(_PAIRS)])
        else:
            template = rng.choice(phrases.TASTE_ONE[rng.choice(_STYLES)])
        named = any(slot in template for slot in ("{a}", "{s}", "{c}"))
        if (scoped and not named) or rng.random() < 0.15:
            template = rng.choice(phrases.SCOPES) + template
        return self._taste(template, context)

    def _dislike(self, context: str, scoped: bool) -> str:
        factor = self.rng.choice(_STYLES)
        own = getattr(self.person.shown[context], factor)
        other = self.rng.choice([v for v in STYLE_VALUES[factor] if v != own])
        template = self.rng.choice(phrases.DISLIKES)
        if scoped:
            template = self.rng.choice(phrases.SCOPES) + template
        words = {"{x}": _noun(factor, other, self.rng), "{y}": _noun(factor, own, self.rng)}
        for slot, said in words.items():
            template = template.replace(slot, said)
        return self._taste(template, context)

    def _taste(self, template: str, context: str) -> str:
        """The template with the words of the shown taste and of a subject of this context."""
        rng, taste = self.rng, self.person.shown[context]
        subjects = _SUBJECTS_OF[context]
        weights = [self.person.subject_interest[s] for s in subjects]
        subject = rng.choices(subjects, weights)[0]
        palette = _noun("palette", taste.palette, rng)
        mood = _noun("mood", taste.mood, rng)
        return template.format(
            a=rng.choice(SUBJECTS[subject]),
            s=_plural(subject),
            c=rng.choice(phrases.CONTEXT_WORDS.get(context, (context,))),
            p=palette,
            ip=f"in {palette}",
            m=_noun("medium", taste.medium, rng),
            w=mood,
            aw=_mood_at(mood),
        )

    def _wrap(self, statement: str) -> str:
        """The statement as people post it: sometimes with a lead-in or small talk around it."""
        rng = self.rng
        if rng.random() < 0.25:
            statement = rng.choice(phrases.OPENERS) + statement
        if rng.random() < 0.3:
            extra = chatter.noise(rng)
            pair = [statement, extra] if rng.random() < 0.7 else [extra, statement]
            return chatter.join(pair)
        return statement

    def _voice(self, body: str) -> str:
        """The person's habit: proper capitals and stops, or neither."""
        if not self.proper or not body:
            return body
        body = body[0].upper() + body[1:]
        body = body.replace(" i ", " I ").replace(" i'", " I'")
        for stop in (". ", "? ", "! "):
            head, *rest = body.split(stop)
            body = stop.join([head, *(part[:1].upper() + part[1:] for part in rest)])
        return body if body[-1] in ".?!)。؟।" else body + "."


_STYLES = tuple(STYLE_VALUES)
_PAIRS = tuple(phrases.TASTE_TWO)
_SUBJECTS_OF = {c: tuple(s for s in SUBJECTS if SUBJECT_CONTEXTS[s] == c) for c in CONTEXTS}
_THINGS: dict[str, tuple[str, ...]] = {
    **{trade.name: trade.things for trade in (*catalog.PROFESSIONS, *catalog.HOBBIES)},
    **{country.name: country.cities for country in catalog.COUNTRIES},
    **dict((*catalog.SENSITIVE, *catalog.ADULT)),
}


def _things(community: Community) -> tuple[str, ...]:
    return _THINGS.get(community.topic, ())


def _noun(factor: str, value: str, rng: random.Random) -> str:
    """A phrase for a style that can stand as a noun ("without color" cannot)."""
    options = FACTOR_VALUES[factor][value]
    nouns = [phrase for phrase in options if not phrase.startswith(("without", "under"))]
    return rng.choice(nouns or options)


def _mood_at(mood: str) -> str:
    """The mood as a time or place: "on a misty morning", "in heavy rain", "at midnight"."""
    last = mood.split(" with ")[0].rsplit(" ", 1)[-1]
    if mood == "midnight":
        return "at midnight"
    if last in ("day", "night", "morning", "afternoon", "evening"):
        return f"on {_article(mood)}"
    if last in ("storm", "thunderstorm"):
        return f"in {_article(mood)}"
    if last in ("dawn", "dusk"):
        return f"at {_article(mood)}"
    if last in ("sky", "clouds"):
        return f"under {_article(mood) if last == 'sky' else mood}"
    return f"in {mood}"


def _plural(subject: str) -> str:
    if subject == "fish":
        return subject
    return subject + ("es" if subject.endswith(("s", "x", "ch", "sh")) else "s")


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _the(country: str) -> str:
    needs = country.startswith("United") or country in ("Philippines", "Netherlands")
    return f"the {country}" if needs else country
