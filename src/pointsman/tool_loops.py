"""Tool loops: remember which deployment made a tool call, so that its result goes back there."""

from collections import OrderedDict

from pointsman.core.features import is_tool_loop, last_tool_call_ids
from pointsman.core.types import Request, ToolCall

LOOPS_MAX = 20_000


class ToolLoops:
    """The latest `LOOPS_MAX` open loops, by tenant and the ids of the calls.

    Ids that a model makes up ("call_0") can meet again in another conversation, so what the user
    has said is a part of the key.
    """

    def __init__(self) -> None:
        self._deployments: OrderedDict[tuple[str, ...], str] = OrderedDict()

    def began_by(self, request: Request) -> str:
        """Return the deployment that made the calls whose results the request brings, or ""."""
        if not is_tool_loop(request):
            return ""
        return self._deployments.get(_key(request, last_tool_call_ids(request)), "")

    def remember(self, request: Request, calls: tuple[ToolCall, ...], deployment: str) -> None:
        """Note that `deployment` answered the request with these calls."""
        key = _key(request, tuple(call.id for call in calls))
        self._deployments[key] = deployment
        self._deployments.move_to_end(key)
        if len(self._deployments) > LOOPS_MAX:
            self._deployments.popitem(last=False)


def _key(request: Request, call_ids: tuple[str, ...]) -> tuple[str, ...]:
    said = hash(tuple(turn.text for turn in request.turns if turn.role == "user"))
    return (request.caller.tenant, str(said), *call_ids)
