"""Requests that schemathesis makes of the published description, sound and unsound ones.

It makes few of them a second, so each is also sent changed: its body by value and by byte, its
headers and its path by character. `python -m tests.fuzz.http_cases CASES SEED` prints the tally.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import msgspec
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from tests.fuzz.mutation import mutated
from tests.fuzz.target import SLOW_S
from tests.server.doors import TOML, Client, Reply, opened

# What is asked for reaches a model, whatever it is called: a 404 would end nearly all requests.
_OPEN = TOML + '[routing]\naliases = ["*"]\n'
_ITEMS_MAX = 3
_FAULTS_KEPT_MAX = 20
_CHANGED_EACH = 24
_TRIES = 3
# Header values: what a server may be sent, as latin-1.
_ENDINGS = ("", "/x", "%", "\u00e9", " ", ":")
_VALUES = ("", " ", "x", "\x7f", "\xff" * 9, "a=b", "a=b,c", "off", "refresh", "-1", "9" * 30, "é")


class Tally(msgspec.Struct):
    """What came of some cases. `generated`: by schemathesis as they are. `statuses`: how often."""

    cases: int = 0
    generated: int = 0
    slowest_s: float = 0.0
    statuses: dict[str, int] = {}
    faults: list[str] = []


class Sent(msgspec.Struct, frozen=True):
    """A request; `path` is its route as the description has it."""

    path: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Door:
    """An app that is asked, and its own description that the replies are held against."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._client: Client = self._loop.run_until_complete(
            self._stack.enter_async_context(opened(toml=_OPEN))
        )
        told = self._loop.run_until_complete(self._client.ask("GET", "/openapi.json")).json()
        self.told: dict[str, Any] = told
        self._validators: dict[tuple[str, str, str], jsonschema_rs.Validator] = {}
        self.tally = Tally()

    def close(self) -> None:
        """End the app."""
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def send(self, sent: Sent) -> None:
        """Send a request and note what is wrong with its reply."""
        tally = self.tally
        tally.cases += 1
        fault = self._fault(sent)
        if fault and len(tally.faults) < _FAULTS_KEPT_MAX:
            shown = f"{sent.method} {sent.target[:100]} {sent.headers} {sent.body[:200]!r}"
            tally.faults.append(f"{fault}: {shown}")

    def _fault(self, sent: Sent) -> str:
        try:
            reply, took_s = self._timed(sent)
            for _ in range(_TRIES):
                if took_s >= SLOW_S:
                    took_s = min(took_s, self._timed(sent)[1])
        except Exception as error:  # whatever it is: nothing may come out of the app
            return f"raised {error!r}"
        self.tally.slowest_s = max(self.tally.slowest_s, took_s)
        status = str(reply.status)
        self.tally.statuses[status] = self.tally.statuses.get(status, 0) + 1
        if took_s >= SLOW_S:
            return f"held the loop for {took_s:.3f} s"
        return self._lie(sent, reply)

    def _timed(self, sent: Sent) -> tuple[Reply, float]:
        """Return a reply, and the CPU seconds of all that the loop did for it."""
        began_s = time.thread_time()
        asked = self._client.ask(sent.method, sent.target, sent.body, sent.headers)
        reply = self._loop.run_until_complete(asked)
        return reply, time.thread_time() - began_s

    def _lie(self, sent: Sent, reply: Reply) -> str:
        """Return where a reply is another than the description says, "" for nowhere."""
        if reply.status == 500:
            return "an internal error"
        if not reply.is_whole:
            return f"a reply of status {reply.status} without an end"
        kind = reply.headers.get("content-type", "").partition(";")[0]
        validator = self._validator(sent.path, str(reply.status), kind)
        if validator is None:
            return f"status {reply.status} as {kind!r} is not declared"
        if kind == "application/json" and reply.body:
            try:
                validator.validate(reply.json())
            except (ValueError, jsonschema_rs.ValidationError) as error:
                return f"status {reply.status} has another body than declared: {error!s:.200}"
        return ""

    def _validator(self, path: str, status: str, kind: str) -> jsonschema_rs.Validator | None:
        key = (path, status, kind)
        if key not in self._validators:
            (operation,) = self.told["paths"][path].values()
            responses = operation["responses"]
            content = responses.get(status, responses.get(f"{status[0]}XX", {})).get("content", {})
            if kind not in content:
                return None
            schema = {**content[kind]["schema"], "components": self.told["components"]}
            self._validators[key] = jsonschema_rs.validator_for(schema)
        return self._validators[key]


def run(cases: int, number: int) -> Tally:
    """Send so many cases, drawn from a seed, and return what came of them."""
    door = Door()
    schema = schemathesis.openapi.from_dict(_small(door.told))
    results = list(schema.get_all_operations())
    operations = [found.ok() for found in results if isinstance(found, Ok)]
    assert len(operations) == len(results), "the description is unsound"
    share = -(-cases // len(operations))
    rng = Random(number)
    try:
        for operation in operations:
            sound = share // 2
            for mode, part in (
                (GenerationMode.POSITIVE, sound),
                (GenerationMode.NEGATIVE, share - sound),
            ):
                try:
                    _send_all(door, operation.as_strategy(generation_mode=mode), part, rng)
                except Unsatisfiable:  # nothing that is sent there could be unsound
                    _send_all(door, operation.as_strategy(), part, rng)
    finally:
        door.close()
    return door.tally


def _send_all(door: Door, strategy: Any, cases: int, rng: Random) -> None:
    left = cases
    examples = max(1, -(-cases // (1 + _CHANGED_EACH)))

    @seed(rng.getrandbits(32))
    @settings(
        max_examples=examples, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def send(case: Case[Any]) -> None:
        nonlocal left
        sent = _sent(case)
        if left > 0:
            door.send(sent)
            door.tally.generated += 1
            left -= 1
        for changed in _changed(sent, rng, min(left, _CHANGED_EACH)):
            door.send(changed)
            left -= 1

    while left > 0:  # it ends early where there are few different ones
        before = left
        send()
        if left == before:
            break


def _sent(case: Case[Any]) -> Sent:
    """Return a case as the server gets it."""
    query = urlencode(case.query or {}, doseq=True)
    target = case.formatted_path + (f"?{query}" if query else "")
    headers = {name.lower(): _latin(str(value)) for name, value in (case.headers or {}).items()}
    body = case.body
    match body:
        case bytes():
            data = body
        case _ if isinstance(body, type(schemathesis.core.NOT_SET)):
            data = b""
        case _:
            data = json.dumps(body).encode()
    return Sent(case.operation.path, case.method.upper(), target, headers, data)


def _changed(sent: Sent, rng: Random, count: int) -> Iterator[Sent]:
    names = sorted({*sent.headers, "x-pointsman-tier", "x-pointsman-tags", "x-pointsman-cache"})
    for _ in range(count):
        body, headers, target = sent.body, dict(sent.headers), sent.target
        match rng.randrange(4):
            case 0:
                headers[rng.choice(names)] = rng.choice(_VALUES)
            case 1 if "{model}" in sent.path and "/" in target:
                head, colon, tail = target.rpartition(":")
                target = f"{head}{rng.choice(_ENDINGS)}{colon}{tail}"
                if not _fits(sent.path, target):
                    target = sent.target
            case _:
                body = mutated(body, rng, is_json=True)
        yield msgspec.structs.replace(sent, body=body, headers=headers, target=target)


def _fits(path: str, target: str) -> bool:
    """Return whether a changed path is still the route's: its replies are held against that."""
    head, _, tail = path.partition("{model}")
    bare = target.partition("?")[0]
    return bare.startswith(head) and bare.endswith(tail)


def _latin(value: str) -> str:
    return value.encode("latin-1", "replace").decode("latin-1")


def _small(told: Any) -> Any:
    """Return a description whose lists are short: drawing long ones takes seconds each."""
    if isinstance(told, list):
        return [_small(one) for one in told]
    if not isinstance(told, dict):
        return told
    small = {name: _small(value) for name, value in told.items()}
    if small.get("type") == "array":
        small["maxItems"] = min(small.get("maxItems", _ITEMS_MAX), _ITEMS_MAX)
    return small


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(run(int(sys.argv[1]), int(sys.argv[2]))).decode())
