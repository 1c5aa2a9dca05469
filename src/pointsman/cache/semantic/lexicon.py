"""Lexicon: English words that mean the same, that turn a meaning round, and that are units.

Every line is general English: a spelling, an abbreviation, an inflection, or a synonym that holds
in any question. What holds in some only is not listed; it is learned (`edits`).
"""

from collections.abc import Iterator, Mapping

from pointsman.cache.semantic.language import words

ARTICLES = words("a an the")
NEGATIONS = words(
    "not no never without none nobody nothing neither nor cannot except excluding non"
)
QUANTIFIERS = words(
    """all some any each both half most few only least more less fewer several many much other
    another same either just even exactly""",
)
MODALS = words("can could should would will shall may might must need ought")
PRONOUNS = words("i you we he she they it me us him them one someone somebody people")
# Said of the time of asking: the answer is another one tomorrow.
TIME_WORDS = words(
    """today tonight tomorrow yesterday currently latest newest recent recently nowadays
    upcoming presently lately""",
)
_PERIODS = "day week weekend month quarter year semester term season spring summer fall winter"
PERIODS = words(_PERIODS + " autumn morning afternoon evening night hour minute decade century")
WEEKDAYS = words("monday tuesday wednesday thursday friday saturday sunday")

NUMBERS: Mapping[str, int] = {
    word: number
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
         "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
         "nineteen", "twenty"]
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
     "ninety": 90, "dozen": 12}  # fmt: skip
SCALES: Mapping[str, int] = {"hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9}

UNITS: Mapping[str, str] = {
    name: names.split()[0]
    for names in (
        "km kilometer kilometers kilometre kilometres kms", "m meter meters metre metres",
        "cm centimeter centimeters centimetre centimetres", "mile miles",
        "mm millimeter millimeters millimetre millimetres", "foot feet ft", "inch inches",
        "yard yards", "kg kilogram kilograms kilo kilos kgs", "gram grams g",
        "mg milligram milligrams",
        "pound pounds", "lb lbs", "ounce ounces oz", "liter liters litre litres",
        "ml milliliter milliliters millilitre millilitres", "gallon gallons", "cup cups",
        "tablespoon tablespoons tbsp", "teaspoon teaspoons tsp", "second seconds sec secs",
        "ms millisecond milliseconds", "minute minutes mins", "hour hours hr hrs", "day days",
        "week weeks", "month months", "year years yr yrs", "decade decades", "% percent",
        "gb gigabyte gigabytes", "mb megabyte megabytes", "kb kilobyte kilobytes",
        "tb terabyte terabytes", "byte bytes", "bit bits", "dollar dollars", "usd", "euro euros",
        "cent cents", "yen", "rupee rupees", "gbp", "eur", "am a.m", "pm p.m", "watt watts",
        "volt volts", "°c", "°f", "degree degrees", "calorie calories", "mph", "acre acres",
    )
    for name in names.split()
}  # fmt: skip

# One spelling, full form or commonest synonym for all that mean it. First the one that is kept.
_SAME = (
    "color colour", "favorite favourite", "behavior behaviour", "center centre", "gray grey",
    "license licence", "catalog catalogue", "organize organise", "summarize summarise",
    "analyze analyse", "optimize optimise", "recognize recognise", "flavor flavour",
    "neighbor neighbour", "labor labour", "theater theatre", "canceled cancelled",
    "program programme", "vs versus vs.", "javascript js", "kubernetes k8s",
    "postgres postgresql", "repo repository", "database db", "regex regexp", "info information",
    "tv television telly", "ad advertisement", "photo photograph",
    "config configuration", "dict dictionary", "maximum max maximal", "minimum minimal",
    "average avg", "approximately approx roughly", "document doc", "docs documentation",
    "param parameter", "arg argument", "func function", "child kid", "mother mom mum mommy mama",
    "father dad daddy papa", "vegetable veggie veg", "movie film", "phone telephone",
    "fridge refrigerator", "gym gymnasium", "exam examination", "buy purchase",
    "begin start commence", "end finish", "delete remove erase", "fix repair mend",
    "choose pick", "large big", "fast quick rapid speedy", "largest biggest",
    "fastest quickest", "nearest closest", "smallest littlest tiniest", "polite courteous",
    "politely courteously", "author writer", "physician doctor", "lawyer attorney",
    "garbage trash rubbish", "often frequently", "help assist", "maybe perhaps",
    "enable activate", "disable deactivate", "website site",
    "difference distinction", "cost price", "salary wage", "present gift", "allowed permitted",
    "legal lawful", "hardest toughest", "decline reject", "list enumerate", "kilometer kilometre",
    "meter metre", "use utilize utilise", "also too", "ascending increasing",
    "descending decreasing", "contain include", "dose dosage",
)  # fmt: skip
SYNONYMS: Mapping[str, str] = {
    other: same.split()[0] for same in _SAME for other in same.split()[1:]
}

_VERBS = """add
    allow analyze apply arrange ask avoid back bake be begin block boil book borrow break
    bring build buy calculate call cancel change charge check choose clean clear close code
    combine come compare compile compose compute concatenate configure connect contain
    convert cook copy correct count cover create cut debug decline decode define delay
    delete deploy describe design detect determine develop die disable discard discover
    discuss display divide do download draft draw drink drive drop dry eat edit enable
    encode encrypt end enter escape estimate explain export extract feed fetch filter find
    fix fly follow force format free freeze fry gain generate get give go grow handle heal
    help hide identify implement import improve increase insert install iterate join jump
    keep kill label last lay lead learn let lift limit list listen live load lock log loop
    lose make manage match measure merge migrate mix mount move multiply name need obtain
    offer open order organize paint parse pass pay plan plant play plot post postpone
    predict prepare prevent print process produce protect prove publish pull push put raise
    read receive recommend record recover reduce refactor reject remind remove rename render
    repair repeat replace reply report request require rescue reset resolve restart restore
    return reverse revert review rewrite rotate round run save say scan schedule scrape
    search see select sell send separate serve set share ship show shut simplify sing sleep
    solve sort speak specify speed spell spend split stand start stay stop store study
    submit subscribe subtract suggest summarize support swap swim switch take talk teach
    tell terminate test throw tie tip track train transfer translate travel treat trim
    truncate try turn type undo uninstall unlock unsubscribe update upgrade upload use
    validate verify view visit wait walk want wash watch wear win wipe work wrap write
    accept serialize"""
VERBS = words(_VERBS)
_DOUBLED = words(
    """begin cut drop get let log plan plot put quit run set ship shut sit split spin stop swap
    swim tip trim win wrap submit scan stir scrub jog hit forget refer reset"""
)


def _inflections(verb: str) -> Iterator[str]:
    """Yield the verb with -s and with -ing: what a frame of another grammar would give it."""
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        yield verb + "es"
    elif verb.endswith("y") and verb[-2] not in "aeiou":
        yield verb[:-1] + "ies"
    else:
        yield verb + "s"
    if verb.endswith("ie"):
        yield verb[:-2] + "ying"
    elif verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")) and len(verb) > 2:
        yield verb[:-1] + "ing"
    elif verb in _DOUBLED:
        yield verb + verb[-1] + "ing"
    else:
        yield verb + "ing"


VERB_FORMS: Mapping[str, str] = {form: verb for verb in VERBS for form in _inflections(verb)}

IRREGULAR_PLURALS: Mapping[str, str] = {
    "children": "child", "men": "man", "women": "woman", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "geese": "goose", "bacteria": "bacterium", "viruses": "virus",
    "criteria": "criterion", "indices": "index", "indexes": "index", "matrices": "matrix",
    "vertices": "vertex", "analyses": "analysis", "leaves": "leaf", "lives": "life",
    "knives": "knife", "wives": "wife", "halves": "half", "potatoes": "potato",
    "tomatoes": "tomato", "heroes": "hero", "buses": "bus", "statuses": "status",
}  # fmt: skip
# They end in s and are no plurals.
NOT_PLURALS = words(
    """news series species physics mathematics economics politics athletics windows macos ios
    kubernetes redis postgres jenkins aws dns https css sass js this its his is was has does
    yes always besides perhaps afterwards paris texas christmas diabetes bias canvas atlas
    gas bus status virus lens us plus minus versus vs analysis basis crisis thesis tennis
    athens brussels angeles arkansas kansas illinois netherlands philippines honduras cyprus
    laos less across express access process address success class pass mass glass loss boss
    business sms gps os alias corpus campus bonus focus census chess mess stress dress press
    cross gross james charles thomas jesus mars venus texas wales naples cannes hans bass
    brass grass kiss miss means towards species headquarters ops devops pros cons axis oasis
    sales""",
)

# Each word turns the other's meaning round. One on either side is a difference, never an edit.
_OPPOSITES = """
    enable:disable on:off start:stop begin:end open:close opened:closed oldest:newest old:new
    oldest:youngest older:younger first:last highest:lowest high:low higher:lower
    largest:smallest large:small larger:smaller longest:shortest long:short longer:shorter
    most:least more:less more:fewer maximum:minimum max:min top:bottom cheapest:priciest
    best:worst good:bad better:worse fastest:slowest fast:slow faster:slower
    nearest:farthest near:far before:after above:below over:under atleast:atmost up:down
    left:right in:out inside:outside with:without all:none ascending:descending
    increase:decrease increasing:decreasing import:export upload:download encode:decode
    encrypt:decrypt lock:unlock install:uninstall mount:unmount push:pull read:write
    add:delete add:remove create:delete add:subtract multiply:divide insert:delete
    accept:decline allow:block allow:deny buy:sell send:receive give:take borrow:lend
    win:lose pass:fail raise:lower gain:lose love:hate like:dislike positive:negative
    true:false always:never early:late earliest:latest earlier:later arrive:depart
    arrival:departure arriving:departing input:output request:response client:server
    serialize:deserialize compress:decompress connect:disconnect subscribe:unsubscribe
    attach:detach show:hide expand:collapse encode:decode include:exclude male:female
    man:woman mother:father boy:girl son:daughter husband:wife brother:sister winter:summer
    day:night am:pm hot:cold warm:cool wet:dry light:dark light:heavy rich:poor strong:weak
    easy:hard simple:difficult simplest:hardest safe:dangerous legal:illegal
    possible:impossible public:private local:remote horizontal:vertical row:column
    import:export minimum:maximum north:south east:west northern:southern eastern:western
    import:export advantage:disadvantage pro:con benefit:drawback cause:effect cause:prevent
    treat:cause question:answer same:different similar:different permanent:temporary
    permanently:temporarily keep:discard keep:delete save:delete save:load load:write
    undo:redo commit:revert log_in:log_out login:logout sign_up:unsubscribe freeze:thaw
    melt:freeze fill:empty full:empty asset:liability debit:credit profit:loss supply:demand
    singular:plural prefix:suffix odd:even major:minor adult:child used:left used:remaining
    reset:change delete:disable create:cancel book:cancel schedule:cancel
    begin:finish start:finish rent:buy lease:buy widen:narrow forward:backward
    forwards:backwards forward:reverse acid:base freeze:boil who:when when:where why:how
    who:where who:why when:why some:all any:all should:can can:must should:must may:must
    will:did should:did"""
OPPOSITES = frozenset(
    frozenset((second, first)) for first, second in (pair.split(":") for pair in _OPPOSITES.split())
)
POLAR = frozenset(word for pair in OPPOSITES for word in pair) | NEGATIONS
