"""Conversations: recognise those under way, and remember where each is and who sealed what in it.

A conversation is known by what the user has said in it and by the ids of the tool calls: both come
back as they were, while clients rewrite the rest. Two of the same words are one until they differ,
unless their clients name sessions. Held in memory: after a restart each begins anew.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from hashlib import blake2b
from typing import TypeAlias, TypeVar

import msgspec

from pointsman.core.conversation import Conversation, Standing, advance
from pointsman.core.features import estimate_tokens, is_tool_loop
from pointsman.core.prompt_cache import PromptCaches
from pointsman.core.types import History, Place, Request, Snapshot, ToolCall, Turn
from pointsman.core.usage import Usage

CONVERSATIONS_MAX = 20_000
SIGNATURES_MAX = 100_000
# Signatures that a client's dialect has no place for are kept whole, up to so many bytes in all.
SEALS_BYTES_MAX = 32 * 1024 * 1024

_Key: TypeAlias = tuple[Hashable, ...]
_K = TypeVar("_K")
_V = TypeVar("_V")


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer leaves behind: where it came from, its tokens and cost, calls and seals."""

    place: Place
    usage: Usage
    cost_nanousd: int | None
    calls: tuple[ToolCall, ...] = ()
    signatures: tuple[str, ...] = ()


class Conversations:
    """The latest `CONVERSATIONS_MAX` conversations of all tenants."""

    def __init__(self) -> None:
        self.caches = PromptCaches()
        self._known: OrderedDict[_Key, Conversation] = OrderedDict()
        self._makers: OrderedDict[tuple[str, bytes], str] = OrderedDict()
        self._seals: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._seals_bytes = 0

    def standing(
        self, request: Request, *, now_s: float, said: Sequence[int] = ()
    ) -> Standing | None:
        """Return the conversation that a request goes on with, None where none is known.

        A request that hands back tools' results goes on with none but the one that has these calls.
        `said`: what the function of that name gives for the request, where it is at hand.
        """
        said = said or said_in(request)
        caller, is_loop = request.caller, is_tool_loop(request)
        first = _last_calls(request.turns) + 1 if is_loop else 1
        for count in range(len(request.turns), first - 1, -1) if first else ():
            found = self._known.get((caller.tenant, caller.session, said[count]))
            if found is not None:
                return Standing(
                    conversation=found,
                    idle_s=max(0.0, now_s - found.at_s),
                    new_tokens=_tokens(request.turns[count:]),
                    is_open=is_loop or _is_sealed_open(request),
                    has_long_marks=request.has_long_marks,
                    retention_s=request.retention_s,
                )
        return self._by_session(request, now_s=now_s) if not is_loop else None

    def history(self, request: Request, *, otherwise: str = "") -> History:
        """Return who made what a request brings back; `otherwise`: who did where nobody knows."""
        if not request.signatures and not self._seals:
            return request.history  # there is none
        tenant = request.caller.tenant
        found = {
            made: self._makers.get(_seal_key(tenant, made), otherwise)
            for made in request.signatures
        }
        ids = (made for turn in request.turns for made in turn.tool_call_ids)
        seals = {made: self._seals[tenant, made] for made in ids if (tenant, made) in self._seals}
        found |= {seal: self._makers.get(_seal_key(tenant, seal), "") for seal in seals.values()}
        return History(makers={made: by for made, by in found.items() if by}, call_signatures=seals)

    def remember(
        self,
        request: Request,
        standing: Standing | None,
        answered: Answered,
        *,
        now_s: float,
        snapshot: Snapshot,
        said: Sequence[int] = (),
    ) -> None:
        """Note how a request was answered. `said`: as in `standing`."""
        conversation = advance(
            standing,
            answered.place,
            answered.usage,
            answered.cost_nanousd,
            at_s=now_s,
            snapshot=snapshot,
            caches=self.caches,
        )
        for seal in answered.signatures:
            _put(
                self._makers,
                _seal_key(request.caller.tenant, seal),
                answered.place.deployment,
                SIGNATURES_MAX,
            )
        for call in answered.calls:
            self._keep_seal(request.caller.tenant, call)
        self._store(request, said or said_in(request), conversation, answered.calls)

    def pass_on(
        self, request: Request, standing: Standing | None, *, said: Sequence[int] = ()
    ) -> None:
        """Note that a request was answered without a call: no upstream has heard of it."""
        if standing is not None:
            self._store(request, said or said_in(request), standing.conversation, ())

    def _store(
        self,
        request: Request,
        said: Sequence[int],
        conversation: Conversation,
        calls: tuple[ToolCall, ...],
    ) -> None:
        """Keep a conversation under all that may bring it back: what was said in it, by whom."""
        tenant, session = request.caller.tenant, request.caller.session
        _put(self._known, (tenant, session, said[-1]), conversation, CONVERSATIONS_MAX)
        if calls:
            called = _with_calls(said[-1], tuple(call.id for call in calls))
            _put(self._known, (tenant, session, called), conversation, CONVERSATIONS_MAX)
        if session:
            _put(self._known, _session_key(request), conversation, CONVERSATIONS_MAX)

    def _by_session(self, request: Request, *, now_s: float) -> Standing | None:
        """Return the session's conversation; what was said has changed, so no cache holds it."""
        found = self._known.get(_session_key(request)) if request.caller.session else None
        if found is None:
            return None
        forgotten = msgspec.structs.replace(found, context_tokens=0)
        return Standing(
            conversation=forgotten,
            idle_s=max(0.0, now_s - found.at_s),
            new_tokens=_tokens(request.turns),
            is_open=_is_sealed_open(request),
            has_long_marks=request.has_long_marks,
            retention_s=request.retention_s,
        )

    def _keep_seal(self, tenant: str, call: ToolCall) -> None:
        if not call.signature or not call.id:
            return
        self._seals_bytes += len(call.signature) - len(self._seals.pop((tenant, call.id), ""))
        self._seals[tenant, call.id] = call.signature
        while self._seals_bytes > SEALS_BYTES_MAX:
            _, oldest = self._seals.popitem(last=False)
            self._seals_bytes -= len(oldest)


def said_in(request: Request) -> Sequence[int]:
    """Return a hash of what was said up to each turn: entry n stands for the first n turns."""
    said = hash(request.system)
    chain = [said]
    for turn in request.turns:
        if turn.role == "user":
            said = hash((said, turn.role, turn.text))
        elif turn.role == "assistant" and turn.tool_call_ids:
            said = _with_calls(said, turn.tool_call_ids)
        else:
            said = hash((said, turn.role))
        chain.append(said)
    return chain


def _with_calls(said: int, ids: tuple[str, ...]) -> int:
    return hash((said, "calls", ids))


def _session_key(request: Request) -> _Key:
    caller = request.caller
    return (caller.tenant, "session", caller.session, hash(request.system))


def _is_sealed_open(request: Request) -> bool:
    """Return whether the model is to go on with reasoning that it has begun."""
    return bool(request.signatures and request.turns and request.turns[-1].role == "assistant")


def _last_calls(turns: Sequence[Turn]) -> int:
    """Return the index of the latest turn with tool calls, -1 for none."""
    return next((i for i in range(len(turns) - 1, -1, -1) if turns[i].tool_call_ids), -1)


def _tokens(turns: Sequence[Turn]) -> int:
    """Return about how many tokens turns add to a context that has the assistant's already."""
    return sum(estimate_tokens(text) for text in _texts(turns))


def _texts(turns: Sequence[Turn]) -> Iterator[str]:
    return (turn.text for turn in turns if turn.role != "assistant")


def _seal_key(tenant: str, signature: str) -> tuple[str, bytes]:
    return tenant, blake2b(signature.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _put(known: OrderedDict[_K, _V], key: _K, value: _V, count_max: int) -> None:
    known.pop(key, None)
    known[key] = value  # behind all others
    if len(known) > count_max:
        known.popitem(last=False)
