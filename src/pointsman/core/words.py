"""Words: how many a text has."""

_PIECE_CHARS = 256 * 1024


def count_words(text: str) -> int:
    """Return how many runs of non-space the text has.

    Counts piece by piece, for splitting a text of megabytes at once would let no other thread run.
    """
    words, is_in_word = 0, False
    for start in range(0, len(text), _PIECE_CHARS):
        piece = text[start : start + _PIECE_CHARS]
        goes_on = is_in_word and not piece[0].isspace()
        words += len(piece.split()) - goes_on
        is_in_word = not piece[-1].isspace()
    return words
