"""An upstream that repeats our key does not get it through, however it writes it."""

import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from pointsman.providers.blanking import BLANKED_KEY, blanked

KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=4)


@given(KEYS, st.data())
def test_a_key_is_blanked_however_its_characters_are_written(key: str, data: st.DataObject):
    def form(character: str) -> str:
        code = f"{ord(character):04x}"
        forms = [character, f"\\u{code}", f"\\u{code.upper()}", f"%{code[2:]}"]
        forms += [json.dumps(character)[1:-1]] if character == '"' else []
        forms += ["\\/"] if character == "/" else []
        return data.draw(st.sampled_from(forms))

    written = "".join(map(form, key))
    assert blanked(f"no {written} yes", key) == f"no {BLANKED_KEY} yes"


@given(st.text(), KEYS)
def test_what_has_no_key_in_it_stays_as_it_is(text: str, key: str):
    plain = text.replace("%", "").replace("\\", "")
    assert key in plain or blanked(plain, key) == plain
    assert blanked(text, "") == text


@given(KEYS)
def test_what_common_writers_make_of_a_key_is_blanked(key: str):
    for written in (json.dumps(key)[1:-1] if "\\" not in key else key, quote(key, safe="")):
        assert blanked(written, key) == BLANKED_KEY


def test_a_long_text_is_looked_through_in_one_go():
    """A body is at most 64 KiB, and the longest beginning that fits is a key's length."""
    text = "\\u0073%73s" * 6_000
    assert blanked(text, "s" * 60 + "!") == text
