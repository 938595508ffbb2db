"""The lists that people are drawn from: countries, languages, professions, hobbies, age bands.

Shares are invented and skewed like large platforms (young, male, Northern America). They describe
nobody and no statistic; what is drawn from them is in `people.py`, how people talk in `phrases.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Country:
    """A country with its UN region, main language, invented share and some places to mention."""

    name: str
    region: str
    language: str
    share: float
    cities: tuple[str, ...]


@dataclass(frozen=True)
class Trade:
    """A profession or a hobby: its name, a community's name and things its people talk about."""

    name: str
    community: str
    things: tuple[str, ...]


def words(text: str) -> tuple[str, ...]:
    """The words of a text: how long lists are written in this package."""
    return tuple(text.split())


AGE_BANDS: dict[str, float] = {
    "18-24": 0.30,
    "25-34": 0.34,
    "35-44": 0.18,
    "45-54": 0.09,
    "55-64": 0.06,
    "65+": 0.03,
}
GENDERS: dict[str, float] = {"male": 0.60, "female": 0.37, "nonbinary": 0.03}

AFRICA, ASIA, EUROPE = "Africa", "Asia", "Europe"
LATIN = "Latin America and the Caribbean"
NORTH, OCEANIA = "Northern America", "Oceania"

COUNTRIES: tuple[Country, ...] = (
    Country("United States", NORTH, "English", 0.40, ("Ohio", "Portland", "Atlanta", "Chicago")),
    Country("Canada", NORTH, "English", 0.07, ("Toronto", "Calgary", "Halifax")),
    Country("United Kingdom", EUROPE, "English", 0.08, ("Leeds", "Bristol", "Glasgow")),
    Country("Germany", EUROPE, "German", 0.045, ("Hamburg", "Leipzig", "Cologne")),
    Country("France", EUROPE, "French", 0.025, ("Lyon", "Nantes", "Lille")),
    Country("Netherlands", EUROPE, "Dutch", 0.02, ("Utrecht", "Groningen")),
    Country("Poland", EUROPE, "Polish", 0.02, ("Gdansk", "Krakow")),
    Country("Spain", EUROPE, "Spanish", 0.018, ("Valencia", "Sevilla")),
    Country("Italy", EUROPE, "Italian", 0.016, ("Bologna", "Torino")),
    Country("India", ASIA, "Hindi", 0.06, ("Pune", "Delhi", "Jaipur")),
    Country("Philippines", ASIA, "Tagalog", 0.025, ("Cebu", "Davao")),
    Country("Indonesia", ASIA, "Indonesian", 0.018, ("Bandung", "Surabaya")),
    Country("Japan", ASIA, "Japanese", 0.016, ("Osaka", "Sapporo")),
    Country("Turkey", ASIA, "Turkish", 0.013, ("Izmir", "Ankara")),
    Country("Brazil", LATIN, "Portuguese", 0.038, ("Recife", "Curitiba", "Belo Horizonte")),
    Country("Mexico", LATIN, "Spanish", 0.026, ("Puebla", "Monterrey")),
    Country("Argentina", LATIN, "Spanish", 0.014, ("Rosario", "Mendoza")),
    Country("Nigeria", AFRICA, "English", 0.016, ("Lagos", "Ibadan")),
    Country("Kenya", AFRICA, "Swahili", 0.011, ("Nairobi", "Kisumu")),
    Country("South Africa", AFRICA, "English", 0.013, ("Durban", "Cape Town")),
    Country("Egypt", AFRICA, "Arabic", 0.01, ("Cairo", "Alexandria")),
    Country("Australia", OCEANIA, "English", 0.036, ("Perth", "Brisbane", "Hobart")),
    Country("New Zealand", OCEANIA, "English", 0.014, ("Wellington", "Dunedin")),
)

STUDENT, RETIRED = "student", "retired"

PROFESSIONS: tuple[Trade, ...] = (
    Trade("nurse", "NurseBreakRoom", ("night shifts", "charting", "the med cart", "handover")),
    Trade("teacher", "TeacherTalk", ("grading", "parent evenings", "lesson plans", "year nines")),
    Trade(
        "software developer",
        "DevLounge",
        ("code review", "the on-call pager", "standups", "legacy migrations"),
    ),
    Trade(STUDENT, "CampusLife", ("finals", "group projects", "the library", "my thesis")),
    Trade("chef", "LineCooks", ("the dinner rush", "prep lists", "the walk-in", "dull knives")),
    Trade("electrician", "WiredTrades", ("panel swaps", "conduit runs", "code inspections")),
    Trade("truck driver", "LongHaulers", ("truck stops", "the logbook", "mountain passes")),
    Trade("farmer", "SmallFarmLife", ("calving season", "the tractor", "seed prices", "fences")),
    Trade("accountant", "LedgerLines", ("month end", "audit season", "spreadsheets", "accruals")),
    Trade(
        "graphic designer",
        "DesignDesk",
        ("client revisions", "kerning", "brand guidelines", "print proofs"),
    ),
    Trade("mechanic", "ShopFloorTalk", ("seized bolts", "brake jobs", "the lift", "diagnostics")),
    Trade("retail worker", "RetailStories", ("closing shifts", "returns", "holiday season")),
    Trade("carpenter", "FramingAndFinish", ("cabinet doors", "warped lumber", "mitre cuts")),
    Trade("lawyer", "BriefsAndBillables", ("billable hours", "discovery", "depositions")),
    Trade("lab scientist", "BenchAndPipette", ("failed assays", "grant deadlines", "pipetting")),
    Trade(RETIRED, "RetiredAndTired", ("the pension office", "grandkids", "the allotment")),
)
PROFESSION_SHARES: tuple[float, ...] = (
    *(0.05, 0.06, 0.15, 0.20, 0.04, 0.04, 0.035, 0.025, 0.05, 0.05),
    *(0.04, 0.09, 0.035, 0.03, 0.045, 0.06),
)

HOBBIES: tuple[Trade, ...] = (
    Trade("gardening", "BackyardGrowers", ("tomatoes", "compost", "slugs", "raised beds")),
    Trade("birdwatching", "BirdNotes", ("warblers", "binoculars", "the feeder", "life lists")),
    Trade("hiking", "TrailDiaries", ("boots", "switchbacks", "the ridge trail", "trail snacks")),
    Trade("cycling", "SaddleTime", ("gravel bikes", "chain wax", "headwinds", "commuting")),
    Trade("baking", "CrumbAndCrust", ("sourdough", "croissants", "proofing", "rye flour")),
    Trade("chess", "RookEndings", ("the Caro-Kann", "blitz", "endgames", "my rating")),
    Trade("board games", "MeeplePile", ("worker placement", "solo modes", "expansions")),
    Trade("knitting", "YarnBasket", ("sock heels", "wool blends", "cables", "frogging")),
    Trade("fishing", "QuietCasts", ("trout", "fly lines", "the dock at dawn", "lures")),
    Trade("guitar", "SixStringRoom", ("barre chords", "tube amps", "fingerpicking", "pedals")),
    Trade("running", "SlowMiles", ("half marathons", "shin splints", "tempo runs", "new shoes")),
    Trade("astronomy", "BackyardScopes", ("Saturn", "light pollution", "eyepieces", "seeing")),
    Trade("model trains", "TinyRailways", ("N scale", "track ballast", "weathering", "decoders")),
    Trade("coffee", "PourOverPeople", ("burr grinders", "light roasts", "espresso shots")),
    Trade("camping", "TentLife", ("sleeping pads", "camp stoves", "rain flies", "firewood")),
    Trade("retro gaming", "CartridgeCave", ("CRTs", "save batteries", "speedruns", "handhelds")),
    Trade("pottery", "MudAndWheel", ("glazes", "the kiln", "trimming", "wobbly bowls")),
    Trade("climbing", "ChalkAndRope", ("crimps", "my belayer", "slab", "finger strength")),
    Trade("photography", "ShutterClub", ("prime lenses", "film rolls", "golden hour", "tripods")),
    Trade("woodworking", "ShavingsPile", ("hand planes", "dovetails", "walnut", "clamps")),
)

# (name, over-18, what is disclosed there). The names are of the kind a reviewed list flags.
SENSITIVE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("depression", ("the new medication", "getting out of bed", "my therapist")),
    ("Anxiety", ("panic attacks", "breathing exercises", "the waiting room")),
    ("politics", ("the last election", "my senator", "the debate")),
    ("Christianity", ("my parish", "evening prayer", "the sermon")),
    ("diabetes", ("my pump", "test strips", "the endocrinologist")),
    ("stopdrinking", ("day forty", "cravings", "my sponsor")),
)
ADULT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nsfw_sketches", ("figure studies", "the model session", "commission rules")),
    ("nsfw_confessions", ("that date", "my ex", "the hotel bar")),
    ("AfterDarkTalk", ("hookups", "the morning after", "my type")),
    ("Drunk", ("tequila", "last night", "the hangover")),
)
GENERAL: tuple[str, ...] = (
    *("AskAnythingAtAll", "MildlyNoteworthy", "TodayIFigured", "ShowerMusings", "HelpMeDecide"),
    *("WhatsThisCalled", "NewsOfTheDay", "GoodNewsOnly", "MoviesAndShows", "OddlyPleasing"),
)
CONTEXT_NOUNS: dict[str, tuple[str, ...]] = {
    "animals": ("Critters", "PetPortraits", "AnimalArt", "Creatures"),
    "places": ("Places", "DreamArchitecture", "BuildingArt", "Towns"),
    "vehicles": ("Rides", "VehicleArt", "BoatsAndCars", "Wheels"),
    "nature": ("Wilds", "NaturePictures", "BotanicalArt", "Landscapes"),
}
NAME_SUFFIXES: tuple[str, ...] = ("Daily", "Corner", "Club", "Lounge", "Weekly", "Circle", "Hub")
ADJECTIVES: tuple[str, ...] = words(
    "amber brisk calm clever coral cosmic crisp dapper dusty eager fabled fuzzy gentle giddy"
    " grumpy hazel hidden humble icy idle ivory jolly keen lanky lilac lucid mellow minty"
    " modest nimble noble odd olive pale patient plucky polite quick quiet rapid rosy rustic"
    " salty sleepy sly solar spare steady subtle sunlit tidy tiny umber vivid wandering witty"
    " woolly zesty"
)
NOUNS: tuple[str, ...] = words(
    "otter badger teapot lantern comet acorn anchor beetle biscuit cactus canoe cello cricket"
    " daisy dumpling falcon fern fiddle gecko goblet heron hinge iris jigsaw kettle kiwi ladder"
    " lemur magpie mango marble mitten moose muffin newt noodle oyster parsnip pebble penguin"
    " piston plum puffin quill radish raven robot saddle sparrow spoon thimble tulip turnip"
    " urchin violin waffle walnut wombat yak zipper"
)
