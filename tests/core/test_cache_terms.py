"""What a request's Cache-Control means, by RFC 9111, section 5.2.1."""

import pytest

from pointsman.core.cache_terms import ANY_TERMS, CacheTerms, read_terms


@pytest.mark.parametrize(
    ("stated", "terms"),
    [
        ("", ANY_TERMS),
        ("no-cache", CacheTerms(may_look=False)),
        ("No-Cache , no-store", CacheTerms(may_look=False, may_keep=False)),
        ("only-if-cached", CacheTerms(may_call=False)),
        ("max-age=60", CacheTerms(age_max_s=60.0)),
        ('MAX-AGE="60", only-if-cached', CacheTerms(age_max_s=60.0, may_call=False)),
        ("max-age=60, max-age=5", CacheTerms(age_max_s=5.0)),
        ("max-age=0", CacheTerms(age_max_s=0.0)),
    ],
)
def test_each_directive_is_read(stated: str, terms: CacheTerms):
    assert read_terms(stated) == terms


@pytest.mark.parametrize("age", ["", "=", "=soon", "=-1", "=1.5", "=\u0661"])
def test_an_age_that_is_no_number_takes_nothing_old(age: str):
    assert read_terms(f"max-age{age}").age_max_s == 0


@pytest.mark.parametrize("stated", ["max-stale=9", "min-fresh=9", "no-transform", "no-cachex", ","])
def test_what_is_not_known_means_nothing(stated: str):
    assert read_terms(stated) == ANY_TERMS
