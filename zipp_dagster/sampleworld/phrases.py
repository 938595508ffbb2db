"""How people say what they like and who they are: the sentence frames of revealing text.

Frames are filled in `text.py`; text that reveals nothing is in `chatter.py`. Slots of the taste
frames: {a} one subject, {s} its plural, {c} a word for the context, {p} palette, {ip} "in palette",
{m} medium, {w} mood, {aw} mood as a place in time ("on a misty morning").
"""

from __future__ import annotations

CONTEXT_WORDS: dict[str, tuple[str, ...]] = {
    "animals": ("animals", "animal pictures", "critters", "pets and wild things"),
    "places": ("buildings", "places", "old buildings", "houses and towers"),
    "vehicles": ("vehicles", "things that move", "boats and cars", "rides"),
    "nature": ("landscapes", "nature scenes", "plants and peaks", "outdoor scenes"),
}

TASTE_FULL: tuple[str, ...] = (
    "{s} done as {m}, {ip}, {aw}. that is basically my whole camera roll",
    "give me {a} {aw}, {m}, {p}, and i'm happy for a week",
    "my favourite thing is {m} of {s}: {p}, {w}, nothing else needed",
    "i keep coming back to {m} for {c}. {p}, {w}, every single time",
    "for {c} my answer never changes: {m}, {p}, {w}",
    "would hang {a} {aw} on my wall tomorrow if it was {m} and {ip}",
    "there's something about {s} {aw} that only {m} gets right, especially {ip}",
    "spent the whole weekend on {s}. {m} again, {p} again, {w} again. no regrets",
    "with {c} i have a type and it's {m}, {p}, {w}",
    "people ask why all my {c} look the same. {m} + {p} + {w}, that's the recipe and i love it",
    "saving up for a commission: {a} {aw}, {m}, {ip}",
    "the {c} i like most here are {m} with {p} and {w}",
    "{w}, {p}, {m}. if {a} shows up in it i'm sold",
    "can we get more {m}? {s} {aw}, {ip}, would make my day",
    "i used to try everything with {c} but settled on {m}, {p} and {w}",
    "my kind of picture: {a}, {m}, {p}, {w}",
    "love {s} {ip}, love {m}, and {w} makes it even better",
    "not an expert, i just melt at {m} of {s} {aw}, all {ip}",
    "my phone wallpaper for two years now: {a} {aw}, {m}, {p}",
    "i'd trade all the realism in the world for {s} as {m}, {p} and {w}",
    "comfort picture for me is {a} {aw}. {m} obviously. {p} obviously",
    "when i picture {c} in my head it's always {w}, {p}, and it looks like {m}",
    "partner asked what to get me, said {m} of {a} {aw}, {ip}, and they actually found one",
    "my sketchbook is nothing but {s}. mostly {m}, mostly {p}, and always {w}",
)
TASTE_TWO: dict[tuple[str, str], tuple[str, ...]] = {
    ("palette", "medium"): (
        "{m} {ip} is where {c} shine for me",
        "{s} {ip} as {m}, can't get enough of it",
        "i do almost all my {c} as {m} {ip}",
        "{m} and {p}, that's the combo for {s}",
        "still think {m} with {p} suits {c} best",
        "bought another print of {a}, {m}, {p}. running out of wall",
        "if it's {m} and {ip} i've probably already saved it",
        "tried {a} as {m} last night, {ip}. first one i'm proud of",
    ),
    ("medium", "mood"): (
        "{m} of {s} {aw} gets me every time",
        "anything with {w} as long as it's {m}",
        "{a} {aw} as {m}. yes please",
        "there's a feeling in {m} with {w} that i can't find elsewhere",
        "if i could only keep one style for {c} it'd be {m}, with {w}",
        "my favourites folder is {m} and {w}, page after page",
        "started doing {s} {aw}, {m} only, and never looked back",
    ),
    ("palette", "mood"): (
        "{s} {aw}, all {ip}, that's the good stuff",
        "{p} and {w} is my favourite mix for {c}",
        "the {c} i save are always {ip}, {aw}",
        "{a} {aw} {ip} is my idea of perfect",
        "i go looking for {w} and {p}, the rest is a bonus",
        "grew up with a poster of {a} {aw}, all {ip}, still chasing that look",
    ),
}
TASTE_ONE: dict[str, tuple[str, ...]] = {
    "medium": (
        "{m} all day",
        "i'll always pick {m} for {c}",
        "started with {m} and never left",
        "team {m} here",
        "nothing beats {m} when it comes to {s}",
        "i just love how {s} look as {m}",
    ),
    "palette": (
        "{p} or nothing, sorry",
        "i just want my {c} {ip}",
        "{p} is my thing, has been for years",
        "anything {ip} and i hit save",
        "{s} {ip} make my whole week",
        "can't explain it but {p} feels like home",
    ),
    "mood": (
        "{w} is the only right setting for {s}",
        "i only ever want {c} {aw}",
        "{w} every time, i don't make the rules",
        "my best {c} all have {w}",
        "{a} {aw} is peak for me",
        "put {w} in it and you have my upvote and my heart",
    ),
}
# {x} is a style that is not theirs, {y} one that is.
DISLIKES: tuple[str, ...] = (
    "never got the appeal of {x}, sorry",
    "{x} does nothing for me with {c}",
    "i can admire {x} but i'd never put it up at home",
    "not a fan of {x} when it comes to {s}",
    "please no more {x}, it's all over this place",
    "less {x}, more {y}",
    "i get why people like {x} but i'm here for {y}",
)
SCOPES: tuple[str, ...] = (
    "when it comes to {s}: ",
    "for {s} specifically, ",
    "for {c}: ",
    "mostly doing {s} lately. ",
    "i'm usually on the {c} side of this. ",
    "talking about {c} here: ",
)
OPENERS: tuple[str, ...] = (
    *("honestly, ", "ngl ", "ok so ", "same here, ", "late to this but "),
    *("unpopular opinion maybe, ", "hot take: ", "been saying it for years: "),
    *("yeah ", "oh this thread is for me. ", "to answer your question, ", "no idea why, but "),
)
INTERESTS: tuple[str, ...] = (
    "i could look at {s} all day",
    "{s} again, my favourite subject",
    "can someone make more {s}? there's never enough",
    "i come here for the {s} and stay for the comments",
    "we need a whole week of {s}",
    "{a}! finally",
    "my kid is obsessed with {s} and honestly so am i",
)
# Titles of text posts that reveal a taste.
TASTE_TITLES: tuple[str, ...] = (
    "how do you get {p} right in {m}?",
    "looking for more {m} of {s}",
    "which artists do {s} {aw}?",
    "is anyone else only here for {m}?",
    "recommend me {c} with {p} and {w}",
    "what paper or software for {m}, {p}?",
)

AGE_NUMBERS: dict[str, tuple[int, int]] = {
    "18-24": (18, 24),
    "25-34": (25, 34),
    "35-44": (35, 44),
    "45-54": (45, 54),
    "55-64": (55, 64),
    "65+": (65, 78),
}
AGE: tuple[str, ...] = (
    "i'm {n} and i still can't parallel park",
    "turned {n} last month and my knees noticed",
    "as a {n} year old i feel seen",
    "at {n} you stop caring about that stuff",
    "({n} here, for context)",
    "nobody told me {n} would feel like this",
)
GENDER: dict[str, tuple[str, ...]] = {
    "male": (
        "as a guy i never know what to say to that",
        "dad of two here, can confirm",
        "speaking as a man with a terrible beard, same",
        "i'm the uncle everyone calls about this. yes, i'm that guy",
    ),
    "female": (
        "as a woman i've had this conversation a hundred times",
        "mum of two here, can confirm",
        "my daughters say i'm the embarrassing mom and they're right",
        "speaking as a woman who does this alone, it's fine",
    ),
    "nonbinary": (
        "as a nonbinary person i just shrug at the form",
        "they/them here, and yes, same",
        "speaking as an enby who has tried both, it doesn't matter",
    ),
}
PLACE: tuple[str, ...] = (
    "here in {city} it's been raining since sunday",
    "we don't have that in {country}, sadly",
    "moved to {city} six years ago and still get lost",
    "anyone else near {city}?",
    "greetings from {country}",
    "in {city} you'd pay double for that",
    "visiting family outside {country}, i forgot how far everything is",
    "born and raised in {city}, never leaving",
)
PROFESSION: tuple[str, ...] = (
    "as {job} i can tell you it never gets easier, {thing} least of all",
    "{job_bare} here. some days the whole job is {thing}",
    "ten years as {job} and i still complain about {thing}",
    "i'm {job}, so of course my week was {thing}",
    "being {job} means dreaming about {thing}",
    "on my break right now, {thing} can wait",
    "second year as {job}, will i ever get used to {thing}?",
)
HOBBY: tuple[str, ...] = (
    "been into {hobby} for {n} years and i still learn things about {thing}",
    "my weekends are {hobby} and more {hobby}",
    "finally sorted out {thing}, best day this year",
    "{hobby} keeps me sane, except when it comes to {thing}",
    "i spend more on {thing} than i'd like to admit",
    "started {hobby} during a bad winter and never stopped",
    "my tip for {thing}: go slower than you think",
)
LANGUAGE: tuple[str, ...] = (
    "english isn't my first language, i grew up speaking {language}",
    "native {language} speaker here, happy to help",
    "in {language} we have a better word for this",
    "i think in {language} and type in english, sorry for the grammar",
)
NATIVE: dict[str, tuple[str, ...]] = {
    "Spanish": (
        "¿Alguien sabe dónde puedo encontrar esto?",
        "Jajaja, me pasó lo mismo ayer.",
        "Muchas gracias por compartir, está muy bonito.",
        "Yo creo que depende de la región, aquí no se dice así.",
    ),
    "Portuguese": (
        "Alguém sabe onde eu encontro isso?",
        "Kkkk aconteceu comigo ontem também.",
        "Muito obrigado por compartilhar, ficou lindo.",
        "Acho que depende da cidade, aqui a gente fala diferente.",
    ),
    "German": (
        "Weiß jemand, wo man das bekommt?",
        "Haha, ist mir gestern auch passiert.",
        "Danke fürs Teilen, sieht richtig schön aus.",
        "Bei uns sagt man das ganz anders.",
    ),
    "French": (
        "Quelqu'un sait où on peut trouver ça ?",
        "Haha, pareil pour moi hier.",
        "Merci pour le partage, c'est très beau.",
        "Chez nous on ne dit pas du tout ça.",
    ),
    "Hindi": (
        "किसी को पता है यह कहाँ मिलेगा?",
        "हाहा, मेरे साथ भी कल यही हुआ।",
        "शेयर करने के लिए धन्यवाद, बहुत सुंदर है।",
    ),
    "Japanese": (
        "これはどこで買えますか?",
        "昨日同じことがありました。",
        "共有ありがとうございます、とてもきれいです。",
    ),
    "Tagalog": (
        "May nakakaalam ba kung saan mabibili ito?",
        "Haha, nangyari rin sa akin kahapon.",
        "Salamat sa pag-share, ang ganda!",
    ),
    "Indonesian": (
        "Ada yang tahu beli ini di mana?",
        "Haha, kemarin saya juga begitu.",
        "Terima kasih sudah berbagi, bagus sekali.",
    ),
    "Dutch": (
        "Weet iemand waar je dit kunt kopen?",
        "Haha, had ik gisteren ook.",
        "Bedankt voor het delen, erg mooi.",
    ),
    "Polish": (
        "Wie ktoś, gdzie to można kupić?",
        "Haha, wczoraj miałem to samo.",
        "Dzięki za podzielenie się, bardzo ładne.",
    ),
    "Italian": (
        "Qualcuno sa dove si trova?",
        "Ahah, è successo anche a me ieri.",
        "Grazie per aver condiviso, bellissimo.",
    ),
    "Turkish": (
        "Bunu nereden bulabilirim, bilen var mı?",
        "Haha, dün benim de başıma geldi.",
        "Paylaştığın için teşekkürler, çok güzel.",
    ),
    "Arabic": ("هل يعرف أحد أين أجد هذا؟", "شكرا على المشاركة، جميل جدا."),
    "Swahili": ("Kuna anayejua hii inapatikana wapi?", "Asante kwa kushiriki, nzuri sana."),
}
SENSITIVE: tuple[str, ...] = (
    "can't stop thinking about {thing}, thanks for listening",
    "is it normal to lie awake because of {thing}?",
    "i finally talked to my family about {thing}",
    "some days i can think of nothing but {thing}",
    "{n} weeks in and {thing} is still on my mind",
)
