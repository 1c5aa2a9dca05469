"""Usage: the tokens of one attempt, and how it was served."""

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


class Service(msgspec.Struct, frozen=True):
    """Whether an answer says that it was served at more than the stated price, None: not said.

    `is_premium`: in a class of service such as "priority". `is_fast`: in the model's faster mode.
    """

    is_premium: bool | None = None
    is_fast: bool | None = None

    def after(self, known: "Service") -> "Service":
        """Return it with what was known before where it says nothing."""
        if known is NOT_SAID:
            return self
        return Service(
            known.is_premium if self.is_premium is None else self.is_premium,
            known.is_fast if self.is_fast is None else self.is_fast,
        )


NOT_SAID = Service()
