"""Keys: what every key of `pointsman.toml` means and may hold; the one source of its documentation.

A pattern is a key's path with `*` for a name the user chooses and for a place in an array. A test
holds the patterns against the Structs: none may be missing, none may be left over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from pointsman.catalog import AUTH_HEADERS
from pointsman.config.toml_text import write_value
from pointsman.policies import FAST_PHRASES, POWER_PHRASES, POWER_WORDS

Pattern: TypeAlias = tuple[str, ...]

_MANY = 1_000_000_000
LIMIT_S_MAX = 864_000.0
# An upper bound from here on only keeps nonsense out: nobody needs to read of it beforehand.
_FAR_AWAY = 100_000
WORKERS_MAX = 256


@dataclass(frozen=True, slots=True)
class Key:
    """`text` is for people. Numbers lie within `least..most`, or above `least` if `is_above`.

    `example` is TOML, for a key without a default.
    """

    text: str
    example: str = ""
    least: float | None = None
    most: float | None = None
    is_above: bool = False

    def allows(self, number: float) -> bool:
        """Return whether `number` is in range; NaN never is, infinity only where nothing bounds."""
        if self.least is not None and not (
            number > self.least if self.is_above else number >= self.least
        ):
            return False
        return self.most is None or number <= self.most

    @property
    def hint(self) -> str:
        """Return the range as far as it is worth knowing beforehand, "" where it is not."""
        is_far = self.most is not None and self.most >= _FAR_AWAY
        return replace(self, most=None).range if is_far else self.range

    @property
    def range(self) -> str:
        """Return the range in words, "" where there is none."""
        match self.least, self.most:
            case None, None:
                return ""
            case None, most:
                return f"at most {_plain(most)}"
            case least, None:
                return f"more than {_plain(least)}" if self.is_above else f"{_plain(least)} or more"
            case least, most if self.is_above:
                return f"more than {_plain(least)}, at most {_plain(most)}"
            case least, most:
                return f"{_plain(least)} to {_plain(most)}"


def _plain(number: float | None) -> str:
    return f"{number:.15g}"


def _seconds(text: str) -> Key:
    return Key(text, least=0, is_above=True, most=LIMIT_S_MAX)


def _quoted(phrases: Iterable[str]) -> str:
    return ", ".join(f'"{phrase}"' for phrase in phrases)


def _either(names: Iterable[str]) -> str:
    *most, last = (f"`{name}`" for name in names)
    return f"{', '.join(most)} or {last}" if most else last


def _megabytes(text: str) -> Key:
    return Key(text, least=1, most=1_000_000)


def _budget(of: str) -> dict[str, Key]:
    told = "What may be spent on {} in a UTC {}; without it nothing bounds that."
    return {
        "daily_usd": _usd(told.format(of, "day"), "20.0"),
        "monthly_usd": _usd(told.format(of, "month"), "300.0"),
    }


def _usd(text: str, example: str) -> Key:
    return Key(text, example, least=0, most=1_000_000)


SECTIONS: Mapping[Pattern, str] = {
    ("server",): "Where the server listens, who may call it, and how much it takes on.",
    ("upstream",): "How all upstreams are called.",
    ("providers", "*"): (
        "Who serves models: one table each. A name of the catalogue needs no keys, and no table"
        " either. A key itself never stands here, only the variable that holds it."
    ),
    ("tiers", "*"): (
        "Classes of models of like quality and price, cheapest first; any number, any names."
        " Without any, they are built from the provider keys in the environment."
    ),
    ("tiers", "*", "models", "*"): "A model may be a table in place of its name.",
    ("routing",): "Who picks the tier, and for which model names.",
    ("routing", "signals"): (
        "The keyword policy, and rules above the policy `learned`. A word matches whole words, a"
        " phrase whole phrases, in any case."
    ),
    ("routing", "bounds", "*"): (
        "The tiers that a client's key may use, by the key's name: whatever it asks for and however"
        " its answers escalate. Other tiers and models are unknown to it."
    ),
    ("cache",): "Identical requests are answered once.",
    ("validation",): "Free checks of an answer before it goes out.",
    ("audit",): (
        "Off by default. A certified quality floor holds for traffic like the labels it was proven"
        " on; an audit watches whether today's still is. A share of the answers is judged against"
        " the strongest tier's, after they have gone out. When a test that may be looked at any"
        " number of times says that a group's floor is broken (falsely in at most 5% of groups,"
        " ever), that group's threshold is halved, and after four times all of it goes to the"
        " strongest tier. Of an audited request the ledger keeps what the scorer reads, which is no"
        " text, and the verdict."
    ),
    ("embeddings",): (
        "What answers `/v1/embeddings`. A model is asked for by its bare name, or as"
        " `provider/model`; where several providers have a name, they stand in for each other in"
        " this order. Never another model: its vectors would mean something else."
    ),
    ("timeouts",): "Limits of one upstream call, and of the whole request, in seconds.",
    ("hedging",): (
        "Off by default: a second call, of the tier's next model, where the first is slow to begin."
        " Whichever may go out first is the answer; the other is stopped, and booked like any"
        " attempt that was broken off: providers may charge for it."
    ),
    ("budgets",): (
        "What may be spent, by UTC days and months. Before its first call a request holds what its"
        " whole plan may cost at most (tokens of input estimated), in the ledger, so that all"
        " processes of one ledger keep to it; docs/budgets.md says more."
    ),
    ("budgets", "keys", "*"): (
        "By the name of a client's key. Where the key itself has a budget too, the smaller holds."
    ),
    ("budgets", "tags", "*"): (
        'By tag, as `name=value`: `[budgets.tags."team=search"]`. A client may leave its tags away;'
        " those that its key sets it cannot."
    ),
    ("ledger",): "Where every attempt is booked.",
    ("prices", "*"): (
        "Prices that stand in place of the catalogue's, by `provider/model`; in USD per million"
        " tokens."
    ),
}

KEYS: Mapping[Pattern, Key] = {
    ("server", "host"): Key(
        "Address to listen on. Any but this machine's own needs a key: `pointsman keys create`."
    ),
    ("server", "port"): Key("TCP port.", least=1, most=65_535),
    ("server", "workers"): Key(
        "Processes that serve this port; about one for each core that is to be used. They share"
        " the ledger, budgets, rates and cache; docs/http.md says what each has for itself. Only a"
        " restart changes it.",
        least=1,
        most=WORKERS_MAX,
    ),
    ("server", "hosts"): Key(
        "Names by which clients call this server, without the port, such as a proxy's in front of"
        " it. A loopback address is always localhost and 127.0.0.1 too; under any other name it"
        " refuses, for a web page could have made that name its own. Elsewhere, empty is any name.",
        '["gateway.example.com"]',
    ),
    ("server", "origins"): Key(
        "Origins of web pages that may call this server; all others' requests are refused.",
        '["https://app.example.com"]',
    ),
    ("server", "in_flight_max"): Key(
        "Requests at work at once, in each worker; what comes on top is told to come again (503),"
        " unread.",
        least=1,
        most=_MANY,
    ),
    ("server", "wait_max_s"): Key(
        "Seconds that a request may wait until the server begins with it. When all have waited for"
        " longer for a tenth of a second, and 64 are at work, those that would too are told to come"
        " again (503); 0 never does.",
        least=0,
        most=60,
    ),
    ("server", "connections_max"): Key(
        "Connections at once, in each worker; those on top are answered 503, but for the probes.",
        least=1,
        most=_MANY,
    ),
    ("server", "log_requests"): Key(
        "Write a line of JSON to standard error for every request and every attempt: ids, names,"
        " codes, times, tokens and costs; never a body or a key."
    ),
    ("upstream", "http_client"): Key(
        "HTTP client of the calls: pointsman's own, or `aiohttp`, should the own one fail you: an"
        " extra, `pointsman[aiohttp]`, which costs more and knows no proxies. A restart or a reload"
        " changes it."
    ),
    ("providers", "*", "dialect"): Key(
        f"Wire format the provider speaks: {_either(AUTH_HEADERS)}.", '"openai-chat"'
    ),
    ("providers", "*", "base_url"): Key(
        "Where its API begins, `/v1` included; a name that is not in the catalogue needs it."
        " `{VARIABLE}` stands for an environment variable of letters, digits and hyphens.",
        '"http://127.0.0.1:8081/v1"',
    ),
    ("providers", "*", "api_key_env"): Key(
        "Name of the environment variable that holds the key; empty where none is needed.",
        '"LOCAL_KEY"',
    ),
    ("providers", "*", "auth_header"): Key(
        "Header that carries the key: as a bearer where it is `authorization`, else bare. Not"
        " stated: the usual one of the dialect, or what the catalogue has.",
        '"api-key"',
    ),
    ("providers", "*", "headers"): Key(
        "Headers sent with every call; they hold no secret.", '{ x-title = "my-app" }'
    ),
    ("providers", "*", "max_tokens_field"): Key(
        "Body field of `openai-chat` that bounds an answer. Not stated: what the catalogue has,"
        " else `max_tokens`.",
        '"max_completion_tokens"',
    ),
    ("providers", "*", "private"): Key(
        "Whether the host's name in `base_url` may lead to an address that is not public, such as"
        " one of your own network. An address that stands there itself may anyway, and `localhost`."
    ),
    ("providers", "*", "prompt_cache"): Key(
        "Whether requests that do not say what its prompt cache shall keep are marked to say so:"
        " `off`, or `mark` for `cache_control` in the dialect `anthropic` and `prompt_cache_key` in"
        " OpenAI's; docs/conversations.md says where marks go, and what they cost.",
        '"mark"',
    ),
    ("providers", "*", "kind"): Key(
        "How it is called: empty for HTTP, or the name of an installed package's entry point of"
        " the group `pointsman.providers`."
    ),
    ("tiers", "*", "name"): Key("Name that clients may ask for.", '"fast"'),
    ("tiers", "*", "models"): Key(
        "Models as `provider/model`: the primary, then its fallback chain, across providers.",
        '["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"]',
    ),
    ("tiers", "*", "max_tokens"): Key(
        "Most tokens of an answer where the client sets none; never raises what the client set.",
        "1024",
        least=1,
        most=_MANY,
    ),
    ("tiers", "*", "models", "*", "model"): Key("`provider/model`.", '"local/qwen3"'),
    ("tiers", "*", "models", "*", "params"): Key(
        "Body fields always sent; they replace what the client sent.",
        '{ reasoning_effort = "high" }',
    ),
    ("tiers", "*", "models", "*", "context_tokens"): Key(
        "Context window, input and output together.", "32768", least=1, most=_MANY
    ),
    ("tiers", "*", "models", "*", "images"): Key("Whether it reads images.", "false"),
    ("tiers", "*", "models", "*", "tools"): Key("Whether it calls tools.", "true"),
    ("tiers", "*", "models", "*", "json_schema"): Key("Whether it keeps to a JSON schema.", "true"),
    ("tiers", "*", "models", "*", "first_byte_s"): Key(
        "Seconds until a streamed answer's first content; without it as in `[timeouts]`.",
        "120.0",
        least=0,
        is_above=True,
        most=LIMIT_S_MAX,
    ),
    ("routing", "policy"): Key(
        "What picks the tier: learned, signals, cascade, fixed:<tier>, or a policy of an installed"
        " package."
    ),
    ("routing", "quality_floor"): Key(
        "Share of the strongest tier's quality that `learned` keeps in every group of requests.",
        least=0.5,
        most=1,
    ),
    ("routing", "confidence"): Key(
        "How sure a certificate of `pointsman train` has to be that the floor holds.",
        least=0.5,
        most=0.999,
    ),
    ("routing", "goal"): Key(
        "What `learned` aims at: `floor` holds the quality floor in every group, `budget` takes"
        " what is worth most on average, which can let one kind of task fall far below it."
    ),
    ("routing", "quality_usd"): Key(
        "With the goal `budget`: what a good answer is worth more than a bad one, in USD.",
        least=0,
        is_above=True,
        most=1_000_000,
    ),
    ("routing", "scorer"): Key(
        "File that `pointsman train` installs. Where there is none, or for empty, the scorer of the"
        " package decides, which is not certified on your traffic."
    ),
    ("routing", "aliases"): Key('Model names that mean "you choose"; "*" routes every model name.'),
    ("routing", "signals", "power"): Key(
        f"Words and phrases that ask for the strongest tier. Not stated: {_quoted(POWER_PHRASES)},"
        " which `learned` heeds only where they belong to what is asked.",
        example=write_value(POWER_PHRASES[:2]),
    ),
    ("routing", "signals", "fast"): Key(
        "Words and phrases for which the cheapest tier will do. Not stated: the policy `signals`"
        f" has {_quoted(FAST_PHRASES)}; `learned` has none.",
        example=write_value(FAST_PHRASES[:2]),
    ),
    ("routing", "signals", "power_words"): Key(
        "A last message of more words than this goes to the strongest tier. Not stated: the policy"
        f" `signals` has {POWER_WORDS}; `learned` has no such rule.",
        example=str(POWER_WORDS),
        least=0,
        most=_MANY,
    ),
    ("routing", "signals", "default"): Key(
        "Tier of a request on which nothing fires; empty is the middle one."
    ),
    ("routing", "signals", "sensitive"): Key(
        "Words and phrases of an ask that a model may rightly refuse: its refusal is no failure."
    ),
    ("routing", "bounds", "*", "tier_min"): Key("Weakest tier it may use; empty is any."),
    ("routing", "bounds", "*", "tier_max"): Key("Strongest tier it may use; empty is any."),
    ("cache", "exact"): Key("Whether identical requests are answered from the cache."),
    ("cache", "normalised"): Key(
        "Whether an answer is also given to another wording of the last user turn that differs in"
        " what never changes an answer: spaces, case, politeness, punctuation at the end."
    ),
    ("cache", "canonical_keys"): Key(
        "Names of clients' keys whose requests may have the answer to another wording that surely"
        ' asks the same; "*" is all. English alone.'
    ),
    ("cache", "canonical_models"): Key(
        "The same for requests that ask for one of these names: an alias, a tier or a model."
    ),
    ("cache", "ttl_s"): Key(
        "Seconds for which an answer may be served again.", least=1, most=_MANY
    ),
    ("cache", "memory_mb"): _megabytes("Bound of what is kept in memory, by all workers together."),
    ("cache", "path"): Key("File that keeps the cache across restarts; empty is memory only."),
    ("cache", "disk_mb"): _megabytes("Bound of that file."),
    ("cache", "entry_mb"): _megabytes("A larger answer is not kept."),
    ("cache", "also_keep"): Key(
        "Answers to keep that are not sure to be as good the next time: varied (a stated"
        " temperature above 0.3), choices (several were asked for), dated (the ask has words such"
        " as today or latest), secrets (ask or answer has a key or password in it), tool_calls."
    ),
    ("cache", "store"): Key(
        "Kind of store: memory, sqlite, or one of an installed package; empty is sqlite where there"
        " is a path, else memory."
    ),
    ("validation", "empty"): Key("Reject an empty answer."),
    ("validation", "refusal"): Key("Reject a refusal of a harmless ask."),
    ("validation", "json_format"): Key("Reject what is not the JSON that was asked for."),
    ("validation", "cut_off"): Key("Reject an answer that breaks off."),
    ("validation", "code_block"): Key(
        "Reject a closed code block of Python, JSON or TOML that does not parse."
    ),
    ("validation", "repetition"): Key("Reject an answer that goes round in circles."),
    ("validation", "min_words_for_long_ask"): Key(
        "Reject a shorter answer to a long ask; 0 switches the check off.", least=0, most=_MANY
    ),
    ("validation", "escalate"): Key("Whether a rejected answer goes on to the next tier."),
    ("validation", "stream_hold_chars"): Key(
        "How many characters of a stream are held back to be checked.", least=0, most=_MANY
    ),
    ("validation", "custom"): Key("Validators of installed packages, by name."),
    ("audit", "share"): Key(
        "Share of the requests that are audited, of those that the policy decided by a quality"
        " floor. One that went to the strongest tier anyway counts without another call.",
        least=0,
        most=1,
    ),
    ("audit", "daily_usd"): _usd(
        "What the audits of one server may cost over any 24 hours, judges included; its workers"
        " have even parts. The worst case"
        " of an audit is taken from it beforehand; none is made where it does not fit. What a judge"
        " of your own spends is not known here.",
        "1.0",
    ),
    ("audit", "judge"): Key(
        "Who says how good an answer is: `validators`, which see no more than `[validation]` does;"
        ' `command:<command line>`, a program that reads `{"prompt": …, "answer": …}` and prints a'
        " number from 0 to 1; `tier:<tier>`, a model that compares both answers blind and in both"
        " orders (best one that wrote neither); or a judge of an installed package."
    ),
    ("audit", "max_tokens"): Key(
        "Most tokens of the strongest tier's answer where the client sets no bound; one that is cut"
        " off there gives no label.",
        least=1,
        most=_MANY,
    ),
    ("embeddings", "models"): Key(
        "Models as `provider/model`, of upstreams that speak a dialect of OpenAI's; empty: those"
        " that the catalogue has for your providers.",
        '["openai/text-embedding-3-small"]',
    ),
    ("timeouts", "connect_s"): _seconds("Until connected, TLS included."),
    ("timeouts", "first_byte_s"): _seconds("Until a streamed answer's first content."),
    ("timeouts", "first_byte_by_effort"): Key(
        "The same limit by the effort that is asked for, such as `high`: reasoning comes before the"
        " first content where the provider does not show it. Of a model's own limit and its"
        " effort's the longer one holds.",
        "{ high = 180.0, xhigh = 300.0 }",
    ),
    ("timeouts", "reply_s"): _seconds("Until an answer that is not streamed has come."),
    ("timeouts", "idle_s"): _seconds("Between two pieces of content."),
    ("timeouts", "total_s"): _seconds("The whole request with all its attempts."),
    ("hedging", "after_s"): Key(
        "Seconds without content after which a second call starts; 0 is never.",
        least=0,
        most=LIMIT_S_MAX,
    ),
    ("hedging", "spend_share"): Key(
        "What the worst cases of an hour's second calls may make up of what was spent in that hour,"
        " in one process. A model without a price is never called second.",
        least=0,
        most=1,
    ),
    **{("budgets", name): key for name, key in _budget("everything").items()},
    ("budgets", "near_end"): Key(
        "What becomes of a request that a budget has no room for, and past `warn_share` of one of"
        " any whose model is ours to choose: `deny` refuses what does not fit; `downgrade` goes to"
        " the cheapest tier that can serve, and refuses what does not fit there either."
    ),
    ("budgets", "warn_share"): Key(
        "Share of a budget past which is warned, once, in the log and by the webhook; and again"
        " where it is used up.",
        least=0,
        is_above=True,
        most=1,
    ),
    ("budgets", "webhook_env"): Key(
        "Name of the environment variable that holds the URL to which such warnings are posted as"
        " JSON; empty for none."
    ),
    **{
        ("budgets", "keys", "*", name): key
        for name, key in _budget("the requests of a key of this name").items()
    },
    **{
        ("budgets", "tags", "*", name): key
        for name, key in _budget("requests with this tag").items()
    },
    ("ledger", "url"): Key("The store: `sqlite:///` and the file's path."),
    ("ledger", "durability"): Key(
        "What a power cut may take: nothing (strict), or the last second (relaxed)."
    ),
    ("ledger", "store_readings"): Key(
        "Keep what the scorer reads of each request (counts and hashes of its words, about 1 kB),"
        " so that `pointsman train` can learn from feedback. No text is kept; whoever guesses a"
        " prompt could check the guess."
    ),
    ("ledger", "store_content"): Key(
        "Keep every request's body and the text of its answer in the ledger's file, in plain."
    ),
    ("ledger", "content_days"): Key(
        "Days after which they are deleted, and overwritten in the file.",
        least=0,
        is_above=True,
        most=36_500,
    ),
    ("prices", "*", "input"): _usd("Tokens sent.", "0.15"),
    ("prices", "*", "output"): _usd("Tokens received.", "0.6"),
    ("prices", "*", "cached_input"): _usd(
        "Tokens read from the provider's own cache; without it as `input`.", "0.075"
    ),
    ("prices", "*", "cache_write"): _usd(
        "Tokens written to the provider's own cache; without it as `input`.", "0.15"
    ),
    ("prices", "*", "long_cache_write"): _usd(
        "Those of them that are to be kept for an hour (Anthropic's `ttl: 1h`); without it as"
        " `cache_write`.",
        "0.3",
    ),
    ("prices", "*", "reasoning"): _usd("Tokens of reasoning; without it as `output`.", "0.6"),
}
