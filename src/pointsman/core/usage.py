"""Usage: the tokens of one attempt."""

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one attempt, each >= 0.

    `input_tokens` counts all input, the cached and the cache-write tokens included;
    `long_cache_write_tokens` are those of the cache-write tokens that are kept for an hour rather
    than for minutes. `output_tokens` counts all output, the reasoning tokens included.
    `is_estimated`: the upstream gave no usage and the figures were counted from the text.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    long_cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    is_estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Return input and output together."""
        return self.input_tokens + self.output_tokens
