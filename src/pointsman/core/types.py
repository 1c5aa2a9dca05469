"""Types: the facts, choices and results that travel through the pipeline."""

from collections.abc import Mapping
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from pointsman.core.cache_terms import ANY_TERMS, CacheTerms
from pointsman.core.grants import EVERYTHING, Grant
from pointsman.core.needs import SOFT_NEEDS, Need
from pointsman.core.tiers import (
    CallIds,
    Capability,
    Deployment,
    Filtered,
    Plan,
    Snapshot,
    Step,
    Tier,
    middle_tier,
)
from pointsman.core.usage import Usage
from pointsman.core.words import count_words

__all__ = [
    "SOFT_NEEDS",
    "Answer",
    "CacheMode",
    "CacheOutcome",
    "CacheTier",
    "CallIds",
    "Caller",
    "Capability",
    "Decision",
    "Deployment",
    "Features",
    "Filtered",
    "History",
    "Move",
    "Need",
    "Place",
    "Plan",
    "Reading",
    "Request",
    "ResponseFormat",
    "Signal",
    "Snapshot",
    "Step",
    "Tier",
    "ToolCall",
    "Turn",
    "middle_tier",
]

CacheMode: TypeAlias = Literal["on", "off", "refresh"]
CacheOutcome: TypeAlias = Literal["hit", "miss", "off"]
# How a hit was found: the very request, or another wording of its last user turn.
CacheTier: TypeAlias = Literal["exact", "normalised", "canonical", "judged"]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message as routing reads it: its role and its text, parts joined by line breaks."""

    role: str
    text: str = ""
    tool_call_ids: tuple[str, ...] = ()


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON the client asked for. `schema` is a JSON schema's own bytes, or None for any."""

    schema: bytes | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and how: what comes beside the body. `tier` pins one; `tags` are for the ledger.

    `model` and `is_stream` are set where the dialect says them in the path instead of the body.
    `terms`: which kept answers will do. `headers` are the dialect's own, lower case, for an
    upstream that speaks it too. `grant` is what the key may do.
    """

    request_id: str = ""
    tenant: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    session: str = ""
    tier: str = ""
    cache: CacheMode = "on"
    terms: CacheTerms = ANY_TERMS
    model: str = ""
    is_stream: bool | None = None
    headers: tuple[tuple[str, str], ...] = ()
    grant: Grant = EVERYTHING


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Who made what the request brings back of earlier answers, as far as it is known here.

    `makers`: from a signature, as it stands in the body, to the deployment that made it; one that
    is missing has no known maker. `call_signatures`: from a tool call's id to the signature that
    its maker needs back with it and that the client's dialect has no place for.
    """

    makers: Mapping[str, str] = {}
    call_signatures: Mapping[str, str] = {}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the pipeline sees it, with the client's own bytes riding along in `body`.

    `model` is the alias the client asked for. `turns` are all messages but the system's; a message
    that brings tools' results ends in turns of the role "tool". `signatures` are those of reasoning
    and of calls, as they stand in the body. `tools_bytes`: the size of the tools' definitions;
    `calls_bytes`: of the history's tool calls, where they are in no turn's text; `file_bytes`: of
    files other than images, before base64; `text_file_bytes`: of those of them that are text.
    `has_unsized`: it has content, images apart, whose tokens nobody can tell from the body: what it
    names by an address or an id, documents, sound, film. `given_tokens`: of input that comes as
    tokens and not as text. `has_long_marks`: it asks that its prefix be kept in the prompt cache
    for an hour; `retention_s`: for so long, by OpenAI's fields, 0 where it does not say. `dropped`
    names what is left out whoever answers. `choices`: how many answers are asked for, each of up to
    `max_tokens`. `is_plain`: the body has no field that `wire.steering` or `wire.premium` is about,
    so that nobody has to look for one; False where that is not known.
    """

    dialect: str
    body: bytes
    model: str
    system: str = ""
    turns: tuple[Turn, ...] = ()
    needs: frozenset[Need] = frozenset()
    image_count: int = 0
    tools_bytes: int = 0
    calls_bytes: int = 0
    file_bytes: int = 0
    text_file_bytes: int = 0
    has_unsized: bool = False
    given_tokens: int = 0
    signatures: tuple[str, ...] = ()
    has_long_marks: bool = False
    retention_s: float = 0.0
    history: History = History()
    dropped: tuple[str, ...] = ()
    max_tokens: int | None = None
    choices: int = 1
    response_format: ResponseFormat | None = None
    is_stream: bool = False
    wants_usage: bool = False
    is_plain: bool = False
    caller: Caller = Caller()


class Reading(msgspec.Struct, frozen=True):
    """What the scorer knows of a prompt: no text, so it may be kept where texts may not.

    `group`: kind of task, one of `scorer.groups.GROUPS`. `counts`: numbers >= 0, named by
    `scorer.reading.COUNT_NAMES`: logs and ratios. `grams`: CRC-16 values, 0..65535, of its words
    and pairs of words. `familiarity`: 0..1, how many of its words several training prompts had.
    """

    group: str
    counts: tuple[float, ...]
    grams: frozenset[int]
    familiarity: float


class Features(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Facts about a request that policies may use; a pure function of it.

    `text` is the last user turn; `words_told` says how many words it has where it is not all here.
    `input_tokens` is an estimate over everything sent. `labels` are the caller's own groups, most
    special first, such as "route:checkout". `reading` stands in where the text is not at hand;
    None: a policy that needs it reads the text. `dialect` is the
    client's, "" where that is not known. `background`: which of a coding agent's background calls
    it is, in words, "" for none. `choices`: how many answers of `max_tokens` are asked for.
    `images`, `hidden_tokens_max` (of what is sealed, and of files of text) and `has_unsized` say
    what the estimate may be too low by, see `core.input_bound`.
    """

    text: str
    system: str = ""
    words_told: int | None = None
    turns: int
    input_tokens: int
    max_tokens: int | None
    needs: frozenset[Need]
    is_tool_loop: bool
    labels: tuple[str, ...] = ()
    reading: Reading | None = None
    dialect: str = ""
    background: str = ""
    choices: int = 1
    images: int = 0
    hidden_tokens_max: int = 0
    has_unsized: bool = False

    @cached_property  # few ask, and counting takes longer than all else that is read of a long text
    def words(self) -> int:
        """Return how many words the last user turn has."""
        return count_words(self.text) if self.words_told is None else self.words_told


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A word or phrase that fired: `start` is its character offset in the last user turn."""

    kind: str
    phrase: str
    start: int


class Place(msgspec.Struct, frozen=True):
    """Where a conversation is, or may go: a deployment in a tier, "" for a model of none."""

    tier: str
    deployment: str


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """The sum that was done at a turn's border of a conversation; nano-USD, all of it estimated.

    `base` is the strongest place that its turns have needed. `context_tokens`: what was said so
    far, of which `cached_tokens` would be read from the base's prompt cache; `new_tokens` are this
    turn's own. `stay_nanousd`: the turn's input at the base. `move_nanousd`: at `wanted`, for the
    whole context. `return_nanousd`: reading all of it anew at the base, should a later turn need
    that. `saved_nanousd`: what staying at the base all along would have cost, less what was paid,
    which has to pay for that. None: a price is not known. `went` is where the turn goes.
    """

    base: Place
    wanted: Place
    went: Place
    context_tokens: int
    cached_tokens: int
    new_tokens: int
    stay_nanousd: int | None
    move_nanousd: int | None
    return_nanousd: int | None
    saved_nanousd: int | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided. A policy gives the tier and its reason; `core.decision` adds the rest.

    `deployments` are the ids to try, in order, in `tier`; `tier` is "" for a model of no tier.
    `may_escalate`: a rejected draft may go on to the next tier. `must_verify`: no byte reaches
    the client before a verdict, however long the draft. `is_harmless`: the policy read the ask
    and found nothing that a careful model should refuse. `scores` are the policy's own, by tier.
    `group`: the group of requests whose quality floor it stands under, "" for none. `move`: what
    leaving the conversation's place would cost, None where that was not asked.
    """

    tier: str
    reason: str
    policy: str = ""
    deployments: tuple[str, ...] = ()
    scores: Mapping[str, float] = {}
    signals: tuple[Signal, ...] = ()
    filtered: tuple[Filtered, ...] = ()
    would_change: str = ""
    may_escalate: bool = True
    must_verify: bool = False
    is_harmless: bool = False
    group: str = ""
    move: Move | None = None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call the model made; `arguments` is the JSON text as the model wrote it.

    `signature` seals the reasoning that led to it, where its maker needs that back.
    """

    id: str
    name: str
    arguments: str
    signature: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer and where it came from.

    `model` is `provider/model`. `cost_nanousd` is what the whole request cost, all its attempts
    together, or None where a price is not known; a cache hit costs 0. Of a hit `cache_tier` says
    how it was found, and `cache_id` is the name of the entry, to purge it by; "" otherwise, and
    where the answer is shared with another request that was under way.
    """

    content: str
    tier: str
    model: str
    finish_reason: str
    usage: Usage
    cost_nanousd: int | None
    reason: str
    policy: str
    request_id: str
    attempts: int
    cache: CacheOutcome
    cache_tier: CacheTier | Literal[""] = ""
    cache_id: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def is_cached(self) -> bool:
        """Return whether the answer came from the cache or from another caller's flight."""
        return self.cache == "hit"

    @property
    def cost_usd(self) -> float | None:
        """Return the cost in USD, None where a price is not known."""
        return None if self.cost_nanousd is None else self.cost_nanousd / 1e9
