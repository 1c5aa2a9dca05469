"""Cache terms: what a request says of answers that were given before.

Source: RFC 9111, section 5.2.1, read 2026-11-24.
"""

import msgspec


class CacheTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Which kept answers a request takes, and whether its own may be kept.

    `age_max_s`: an older answer is not taken, None for any. `may_look`: a kept answer will do;
    `may_call`: where there is none, a model is asked; `may_keep`: what it says may be kept.
    """

    age_max_s: float | None = None
    may_look: bool = True
    may_call: bool = True
    may_keep: bool = True


ANY_TERMS = CacheTerms()


def read_terms(cache_control: str) -> CacheTerms:
    """Return what a request's Cache-Control says.

    What is not one of no-cache, no-store, max-age and only-if-cached means nothing here: nothing
    stale is ever given, and nothing is transformed. An age that is no number is 0.
    """
    age_max_s, names = None, set[str]()
    for part in cache_control.lower().split(","):
        name, _, value = part.strip().partition("=")
        names.add(name.strip())
        if name.strip() == "max-age":
            age_max_s = min(_seconds(value), _forever(age_max_s))
    return CacheTerms(
        age_max_s=age_max_s,
        may_look="no-cache" not in names,
        may_call="only-if-cached" not in names,
        may_keep="no-store" not in names,
    )


def _seconds(value: str) -> float:
    digits = value.strip().strip('"')
    return float(digits) if digits.isascii() and digits.isdigit() else 0.0


def _forever(age_max_s: float | None) -> float:
    return float("inf") if age_max_s is None else age_max_s
