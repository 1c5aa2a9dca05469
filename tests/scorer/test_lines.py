"""Lines: what is found line by line is what one search over the whole text finds."""

from binascii import crc_hqx
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from pointsman.scorer import groups
from pointsman.scorer.familiar import familiar_words
from pointsman.scorer.lines import crossing_pairs, find_tokens, first_tokens, read_lines

SIGNS = [sign.decode() for sign in chain.from_iterable(groups._BY_TEXT)]
WORDS = [word.decode() for word in sorted(frozenset().union(*groups._BY_WORD))]
PARTS = (
    st.sampled_from(SIGNS) | st.sampled_from(WORDS) | st.sampled_from(["\n", " ", "0", "é", "_"])
)
LINES = st.lists(PARTS | st.text("ab 0,\xe9", max_size=6), max_size=8).map("".join)
TEXTS = st.lists(LINES, max_size=6).flatmap(
    lambda some: st.lists(st.sampled_from([*some, "input 00"]), max_size=12).map("\n".join)
)


@given(text=TEXTS)
def test_words_pairs_and_signs_are_those_of_the_whole_text(text: str):
    data = text.encode()
    tokens = find_tokens(data)
    words = [crc_hqx(token, 0) for token in tokens]
    for _ in range(3):  # once new, then met again, then kept
        pieces = read_lines(data)
        assert set(chain.from_iterable(piece.words for piece in pieces)) == set(words)
        assert {*crossing_pairs(pieces), *chain.from_iterable(it.pairs for it in pieces)} == {
            crc_hqx(after, before) for before, after in zip(words, tokens[1:], strict=False)
        }
        assert b"".join(it.seen for it in pieces) == bytes(familiar_words()[it] for it in words)
        signs = groups.joined_signs(data, [piece.signs for piece in pieces])
        texts = [sign.encode() in data for sign in SIGNS]
        kinds = [not some.isdisjoint(tokens) for some in groups._BY_WORD]
        assert signs == sum(found << bit for bit, found in enumerate((*texts, *kinds)))


@given(text=TEXTS)
def test_the_first_tokens_are_those_of_the_whole_text(text: str):
    data = text.encode()
    assert first_tokens(data, 12) == find_tokens(data)[:12]
