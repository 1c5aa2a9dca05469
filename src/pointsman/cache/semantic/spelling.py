"""Spelling: put right two letters that changed places, where that cannot make another word.

Only this slip is put right. A letter too many, too few or another often makes another word (Niger,
Nigeria; prescribe, proscribe); two that changed places seldom do, and those pairs are listed.
"""

from collections.abc import Iterable

from pointsman.cache.semantic.language import words
from pointsman.cache.semantic.lexicon import (
    ARTICLES,
    MODALS,
    NUMBERS,
    PERIODS,
    PRONOUNS,
    QUANTIFIERS,
    SYNONYMS,
    TIME_WORDS,
    UNITS,
    VERB_FORMS,
    VERBS,
    WEEKDAYS,
)

_LETTERS_MIN = 5
_COMMON = words(
    """which where about there their these those without explain between before after difference
    differences meaning should could would cheapest lowest highest largest smallest nearest
    closest first least expensive under above below following please through ascending
    descending second maximum minimum number capital country countries people place thing
    question answer example problem reason result system point world state school family
    student group government company house service friend father mother power money story
    right water business issue child woman member office party research information
    education history health person music market effect decision report interest experience
    policy process action model season society field position player record paper space
    ground event official matter center couple site project activity star table need court
    produce oil situation cost industry figure street image phone data picture practice
    piece land product doctor wall patient worker news test movie north love support
    technology step baby computer type attention film tree hair look energy machine language
    network database password account address email browser screen button window keyboard
    folder file files string integer array function variable method class object element
    version command server branch commit error message status code number train ticket
    flight hotel travel weather kitchen recipe chicken butter cheese onion garlic pepper
    sugar flour bread breakfast lunch dinner medicine headache pressure exercise weight
    vitamin mineral interview salary meeting invitation invoice payment interest loan
    mortgage insurance income budget percent percentage population currency language
    translation sentence paragraph summary article essay letter poem"""
)
# Both are words: one is never taken for a slip of the other.
_BOTH_WORDS = words(
    """there three quiet quite exist exits trail trial trails trials retired retried macro marco
    macros marcos compiles complies field filed fields flied signs sings brain brian brains
    pairs paris center centre alexander alexandre beats betas boost boots clips clisp tilde
    tiled signers singers israel angel angle angels angles median medina unite untie united
    untied unites unties darin drain cartes crates carets rogue rouge mantel mantle excel
    execl fires fries casual causal spares sparse spare tilted titled steer huston houston
    files flies filer flier diary dairy diaries dairies tired tried tires tries tiers aries
    arise jeffery jeffrey bread beard breads beards board broad boards broads crave carve
    slave salve slaves salves solve solves sacred scared scare sacre silver sliver silvers
    slivers spilt split stain satin stains sprain strain martial marital marina marian
    complaint compliant complaints conversation conservation reserve reverse reserved
    reversed severe serve verse sever server servers perfect prefect protein pretoria weird
    wired wield prints pirnts scrap scarp skirt stirk stalk slake adapt adept form from
    quite loses losses loose closet colset expect except parties pirates parts prats spark
    sparks clamp calmp clams calms slam alms salt slat salts slats melon lemon gaol goal
    coast coats beast beats breast breath least lesat teach cheat leader dealer trance rants
    ranch diets edits tides fiend fined grin gird grid lairs liars lapse peals pearl pearls
    petal plate palate minute mutine nuclear unclear uncle ulcer alter later regal lager
    large glare chain china chains karate karat nigel angle ariel areil adrian adrain carlo
    carol carlos carols clare clear clara carla calrk clark lewis elwis brett bretton burma
    burma syria siry persia praise sparse perish parish maria mario maira marie aimer ernie
    renie dublin algeria niger""",
)


class Spelling:
    """The words that stored prompts hold, and repair of a word by them and by the lexicon."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __call__(self, tokens: list[str]) -> list[str]:
        """Return the tokens, each word that nobody knows replaced by the one it slipped from."""
        return [self._repaired(token) for token in tokens]

    def learn(self, tokens: Iterable[str]) -> None:
        """Count the words of a stored prompt."""
        for token in tokens:
            if _is_long_word(token):
                self._counts[token] = self._counts.get(token, 0) + 1

    def forget(self, tokens: Iterable[str]) -> None:
        """Take a prompt's words back out."""
        for token in tokens:
            if _is_long_word(token):
                left = self._counts.get(token, 0) - 1
                if left > 0:
                    self._counts[token] = left
                else:
                    self._counts.pop(token, None)

    def _repaired(self, word: str) -> str:
        if not _is_long_word(word) or word in _BOTH_WORDS or word in KNOWN or word in self._counts:
            return word
        if not _is_unheard_of(word):
            return word
        found = {other for other in _swapped(word) if other in KNOWN or other in self._counts}
        found -= _BOTH_WORDS
        return found.pop() if len(found) == 1 else word


def _is_long_word(token: str) -> bool:
    return _LETTERS_MIN <= len(token) <= 30 and token.isascii() and token.isalpha()


def _swapped(word: str) -> Iterable[str]:
    """Yield the word with each two neighbours swapped, but for the first letter."""
    for place in range(1, len(word) - 1):
        first, second = word[place], word[place + 1]
        if first != second:
            yield f"{word[:place]}{second}{first}{word[place + 2 :]}"


def _is_unheard_of(word: str) -> bool:
    """Return whether three letters stand together in the word that stand so in no common one."""
    return any(part not in _HEARD for part in _threes(word))


def _threes(word: str) -> Iterable[str]:
    framed = f" {word} "
    return (framed[place : place + 3] for place in range(len(framed) - 2))


KNOWN = frozenset(
    word
    for listed in (ARTICLES, MODALS, NUMBERS, PERIODS, PRONOUNS, QUANTIFIERS, TIME_WORDS, UNITS,
                   VERBS, VERB_FORMS, WEEKDAYS, SYNONYMS, SYNONYMS.values(), _COMMON)
    for word in listed
)  # fmt: skip
_HEARD = frozenset(part for word in (*KNOWN, *_BOTH_WORDS) for part in _threes(word))
