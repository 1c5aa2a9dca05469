"""Canaries: texts that are nowhere else, sent through a server that goes wrong in every way.

Keys of providers and clients may be found nowhere but in the header that they are sent in; prompts,
answers and what tools gave nowhere but in the replies to whoever asked, and upstream.
"""

import base64
import http.client
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from urllib.parse import quote

from soak.trust.at_debug import CALLBACK_MARK, HANDLER_MARK, QUERY_MARK, TASK_MARK
from soak.trust.echoing import BEHAVIOURS, KEPT, Echoing, echoing

_DEADLINE_S = 60.0
ROUTES = ("/v1/chat/completions", "/v1/responses", "/v1/messages")
_PLUG_IN = """
class Crashing:
    def check(self, draft, ask):
        raise ValueError(draft.text)
"""


@dataclass
class Canaries:
    """Texts that nothing else holds. `prompt` makes one for each request."""

    provider: str = field(default_factory=lambda: f"sk-canary/{token_hex(8)}+provider")
    client: str = field(default_factory=lambda: f"canary-client-{token_hex(12)}")
    admin: str = field(default_factory=lambda: f"canary-admin-{token_hex(12)}")
    wrong: str = field(default_factory=lambda: f"canary-wrong-{token_hex(12)}")
    hook: str = field(default_factory=lambda: f"canary-hook-{token_hex(12)}")
    answer: str = field(default_factory=lambda: f"canary-answer-{token_hex(8)}")
    tool: str = field(default_factory=lambda: f"canary-tool-{token_hex(8)}")
    config: str = field(default_factory=lambda: f"sk-canary-{token_hex(12)}")
    batch: str = field(default_factory=lambda: f"canary-prompt-{token_hex(8)}")
    virtual: str = ""
    hook_url: str = ""

    @property
    def keys(self) -> Mapping[str, str]:
        """Return what may be shown nowhere, by what it is."""
        named = ("provider", "client", "admin", "wrong", "hook", "virtual", "config")
        return {name: getattr(self, name) for name in named}

    @property
    def texts(self) -> Mapping[str, str]:
        """Return what may be written nowhere, by what it is."""
        return {"prompt": self.batch, "answer": self.answer, "tool result": self.tool}

    def prompt(self, number: int) -> str:
        """Return what request `number` asks, which no other does."""
        return f"{self.batch}-{number:05d}-"


@dataclass
class Found:
    """What was looked at, and where canaries were found: (which, where)."""

    places: int = 0
    requests: int = 0
    calls: int = 0
    leaks: list[tuple[str, str]] = field(default_factory=list)

    def look(self, where: str, data: bytes, needles: Mapping[str, str]) -> None:
        """Look for needles, in every way of writing them."""
        self.places += 1
        for name, needle in needles.items():
            if any(form in data for form in forms(needle)):
                self.leaks.append((name, where))


def forms(needle: str) -> Iterator[bytes]:
    """Yield the ways in which a text may be written: plain, quoted, in hex, in base64, reversed."""
    raw = needle.encode()
    yield raw
    yield quote(needle, safe="").encode()
    yield needle.replace("/", "\\/").encode()
    yield "".join(f"\\u{ord(c):04x}" for c in needle).encode()
    yield raw.hex().encode()
    for offset in range(3):  # what is before it moves the groups of base64
        whole = base64.b64encode(bytes(offset) + raw)
        yield whole[4 if offset else 0 : len(whole) - 4]


def run(
    folder: Path,
    *,
    behaviours: Sequence[str] = tuple(BEHAVIOURS),
    commands: Sequence[str] = ("check", "serve"),
) -> Found:
    """Serve from an empty folder, ask everything, stop; return what was found where.

    `behaviours`: the upstream's; `commands`: those that are to refuse wrong configurations.
    """
    canaries, found = Canaries(), Found()
    with echoing(canaries.answer) as upstream:
        _set_up(folder, upstream, canaries)
        canaries.virtual = _cli(folder, canaries, "keys", "create", "web").stdout.strip()
        with serving(folder, environment(folder, canaries)) as address:
            asker = Asker(address, canaries, found)
            ask_all(asker, behaviours)
            _wait_for(folder / "debug.log", b"webhook was not reached")
            look_at_files(folder, canaries, found, when="while it serves")
        look_at_upstream(upstream, canaries, found)
        found.calls = len(upstream.heard)
    complain(folder, canaries, found, commands)
    look_at_files(folder, canaries, found, when="in the end")
    return found


def look_at_files(folder: Path, canaries: Canaries, found: Found, *, when: str) -> None:
    """Look through every file: ledger and its log, what was logged, what the home has now."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        where = f"{path.relative_to(folder)} {when}"
        found.look(where, path.read_bytes(), {**canaries.keys, **canaries.texts})


def look_at_upstream(upstream: Echoing, canaries: Canaries, found: Found) -> None:
    """Look for keys in what the upstream saw, but for the one header, and the webhook's address."""
    for heard in upstream.heard:
        is_hook = canaries.hook in heard.line
        others = {name: v for name, v in heard.headers.items() if name != "authorization"}
        told = f"{'' if is_hook else heard.line} {others}".encode() + heard.body
        found.look("what the upstream saw", told, canaries.keys)


class Asker:
    """Sends requests, and looks through every reply."""

    def __init__(self, address: str, canaries: Canaries, found: Found) -> None:
        self.canaries = canaries
        self._numbers = itertools.count(1)
        self._address = address
        self._found = found

    def prompt(self) -> str:
        """Return the prompt of the next request."""
        return self.canaries.prompt(next(self._numbers))

    def ask(
        self,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Send a request and return the status. No reply may have a key, or another's prompt."""
        sent = {} if headers is None else dict(headers)
        if key is None:
            sent["authorization"] = f"Bearer {self.canaries.client}"
        elif key:
            sent["authorization"] = f"Bearer {key}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self._address, timeout=_DEADLINE_S)
        status, told = 0, b""
        try:
            connection.request(method, path, None if body is None else data, sent)
            reply = connection.getresponse()
            status, told = reply.status, f"{reply.reason} {reply.getheaders()}".encode()
            told += reply.read()
        except http.client.IncompleteRead as error:
            told += error.partial
        except http.client.HTTPException as error:
            told += repr(error).encode()
        finally:
            connection.close()
        where = f"the reply {status} of {path}"
        self._found.requests += 1
        self._found.look(where, told, self.canaries.keys)
        prompts = re.compile(rf"{self.canaries.batch}-\d+-".encode())
        if set(prompts.findall(told)) - set(prompts.findall(data)):
            self._found.leaks.append(("another's prompt", where))
        return status


def ask_all(asker: Asker, behaviours: Sequence[str]) -> None:
    """Ask for every way of going wrong, on every route, streamed and whole; then for the rest."""

    def ask(cell: tuple[str, int, bool]) -> None:
        name, route, is_stream = cell
        model = f"up/{name}.{2 * route + is_stream}"
        tool = asker.canaries.tool
        asker.ask(ROUTES[route], asking(ROUTES[route], model, asker.prompt(), tool, is_stream))

    cells = itertools.product(behaviours, range(len(ROUTES)), (False, True))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, cells))
    _ask_of_ourselves(asker)
    _ask_with_wrong_keys(asker)


def asking(path: str, model: str, prompt: str, tool: str, is_stream: bool) -> dict[str, object]:
    """Return a body in the route's dialect, with a prompt and what a tool has given."""
    question = {"role": "user", "content": prompt}
    body: dict[str, object] = {"model": model, "stream": is_stream}
    match path:
        case "/v1/responses":
            call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
            given = {"type": "function_call_output", "call_id": "c", "output": tool}
            return {**body, "input": [question, call, given]}
        case "/v1/messages":
            use = {"type": "tool_use", "id": "c", "name": "look", "input": {}}
            result = {"type": "tool_result", "tool_use_id": "c", "content": tool}
            turns = [question, {"role": "assistant", "content": [use]}]
            return {**body, "max_tokens": 50, "messages": [*turns, _user([result])]}
        case _:
            function = {"name": "look", "arguments": "{}"}
            used = {"id": "c", "type": "function", "function": function}
            calling: object = {"role": "assistant", "content": None, "tool_calls": [used]}
            result = {"role": "tool", "tool_call_id": "c", "content": tool}
            return {**body, "messages": [question, calling, result]}


def _user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def _chat(prompt: str, **more: object) -> dict[str, object]:
    return {"model": "auto", "messages": [_user(prompt)], **more}


def _ask_of_ourselves(asker: Asker) -> None:
    """Ask what fails in pointsman itself, what is kept, and what tells of all this."""
    chat = ROUTES[0]
    for mark in (HANDLER_MARK, TASK_MARK, CALLBACK_MARK):
        asker.ask(chat, _chat(f"{asker.prompt()} {mark}"))
    asker.ask(f"{chat}?{QUERY_MARK}={asker.prompt()}", _chat("x"))
    for number in range(12):  # until the budget is spent, and the webhook told
        body = _chat(asker.prompt(), stream=bool(number % 2))
        asker.ask(chat, body, headers={"x-pointsman-tags": "team=hook"})
    once = _chat(asker.prompt()) | {"model": "up/kept.0"}
    for _ in range(2):
        asker.ask(chat, once, headers={"idempotency-key": "only-once"})
    asker.ask(chat, _chat(asker.prompt()), key=asker.canaries.virtual)
    asker.ask(chat, _chat(asker.prompt()), key=asker.canaries.admin)
    asker.ask("/v1/embeddings", {"model": "auto", "input": asker.prompt()})
    gemini = {"contents": [{"parts": [{"text": asker.prompt()}]}]}
    asker.ask("/v1beta/models/auto:generateContent", gemini)
    for path in ("/v1/messages/count_tokens", "/v1/decide", "/v1/responses/input_tokens"):
        asker.ask(path, _chat(asker.prompt(), input="x"))
    for fault in (
        b"{",
        b"[]",
        b"nul",
        b'{"model": 1, "messages": "%s"}',
        b'{"messages": [["%s"]]}',
    ):
        for path in ROUTES:
            asker.ask(path, fault.replace(b"%s", asker.prompt().encode()))
    asker.ask("/v1/feedback", {"request_id": asker.prompt(), "score": 1})
    for path in ("/", "/health/live", "/metrics", "/v1/models", "/openapi.json", "/nothing"):
        asker.ask(path, method="GET")


def _ask_with_wrong_keys(asker: Asker) -> None:
    wrong = asker.canaries.wrong
    for name in ("authorization", "x-api-key", "x-goog-api-key", "api-key"):
        for value in (wrong, f"Bearer {wrong}", f"Basic {wrong}", f"Bearer {wrong}\u00e9"):
            asker.ask(ROUTES[0], _chat(asker.prompt()), key="", headers={name: value})
    for path in (f"{ROUTES[0]}?key={wrong}", f"/v1/messages?api_key={wrong}"):
        asker.ask(path, _chat(asker.prompt()), key="")


def _set_up(folder: Path, upstream: Echoing, canaries: Canaries) -> None:
    """Write the configuration, and a validator that fails with the draft in its error."""
    lines = ["[providers.up]", 'dialect = "openai-chat"', 'api_key_env = "UP_KEY"']
    lines += [f'base_url = "http://127.0.0.1:{upstream.port}/v1"', "private = true"]
    lines += ["[routing]", 'policy = "fixed:plain"', "[timeouts]", "first_byte_s = 5.0"]
    lines += ["[budgets]", "warn_share = 0.1", 'webhook_env = "HOOK"', '[budgets.tags."team=hook"]']
    lines += ["daily_usd = 0.0001", "[validation]", 'custom = ["crashing"]']
    for name in (*BEHAVIOURS, KEPT):
        # One for each cell of the matrix: a deployment that has failed is left alone for a while.
        models = [f"up/{name}.{number}" for number in range(2 * len(ROUTES))]
        lines += ["[[tiers]]", f'name = "{name}"', f"models = {models}", "max_tokens = 9"]
        for model in models:
            lines += [f'[prices."{model}"]', "input = 1.0", "output = 2.0"]
    (folder / "pointsman.toml").write_text("\n".join(lines), "utf-8")
    plug_in = folder / "plug_in"
    info = plug_in / "crashing-1.0.dist-info"
    info.mkdir(parents=True)
    (plug_in / "crashing.py").write_text(_PLUG_IN, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crashing\nVersion: 1.0\n", "utf-8")
    point = "[pointsman.validators]\ncrashing = crashing:Crashing\n"
    (info / "entry_points.txt").write_text(point, "utf-8")
    canaries_url = f"http://127.0.0.1:{upstream.port}/{canaries.hook}?token={canaries.hook}"
    canaries.hook_url = canaries_url


def environment(folder: Path, canaries: Canaries) -> dict[str, str]:
    """Return an environment with all the keys, in which nothing is written but in the folder."""
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join((str(root), str(root / "src"), str(folder / "plug_in")))
    own = {name: str(folder) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": paths,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONASYNCIODEBUG": "1",
        **own,
        "UP_KEY": canaries.provider,
        "HOOK": canaries.hook_url,
        "POINTSMAN_API_KEYS": f"env:{canaries.client}",
        "POINTSMAN_ADMIN_KEY": canaries.admin,
    }


@contextmanager
def serving(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Serve at DEBUG; yield the address. What it prints goes into files of the folder."""
    command = [sys.executable, "-m", "soak.trust.at_debug", "serve", "--port", "0", "--json"]
    with (folder / "stdout.txt").open("wb") as out, (folder / "stderr.txt").open("wb") as err:
        process = subprocess.Popen(command, cwd=folder, env=dict(env), stdout=out, stderr=err)
        try:
            yield _address(process, folder)
        finally:
            process.terminate()
            try:
                process.wait(_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(path: Path, said: bytes) -> None:
    """Wait until a file has a text; it is looked through in any case."""
    until = time.monotonic() + _DEADLINE_S
    while time.monotonic() < until and said not in path.read_bytes():
        time.sleep(0.1)


def _address(process: "subprocess.Popen[bytes]", folder: Path) -> str:
    until = time.monotonic() + _DEADLINE_S
    while time.monotonic() < until and process.poll() is None:
        if said := (folder / "stdout.txt").read_text("utf-8"):
            url: str = json.loads(said)["address"]
            return url.removeprefix("http://").removesuffix("/v1")
        time.sleep(0.05)
    raise RuntimeError((folder / "stderr.txt").read_text("utf-8")[-2_000:])


def _cli(
    folder: Path, canaries: Canaries, *arguments: str, **env: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pointsman", *arguments],
        cwd=folder,
        env=environment(folder, canaries) | env,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )


def complain(folder: Path, canaries: Canaries, found: Found, commands: Sequence[str]) -> None:
    """Have the commands refuse what holds keys where none should be, and tell what they know."""
    key = canaries.config
    whole = (folder / "pointsman.toml").read_text("utf-8")
    wrong = {
        'api_key_env = "UP_KEY"': f'api_key_env = "{key}"',
        "private = true": f'private = true\nheaders = {{ authorization = "Bearer {key}" }}',
        "private = true\n": f'private = true\napi_key = "{key}"\n',
        "http://127.0.0.1": f"http://user:{quote(key, safe='')}@127.0.0.1",
        "[routing]": f'[routing]\n"{key}" = 1',
        'webhook_env = "HOOK"': f'webhook_env = "{key}"',
    }
    for old, new in wrong.items():
        (folder / "wrong.toml").write_text(whole.replace(old, new, 1), "utf-8")
        for command in commands:
            done = _cli(folder, canaries, command, "--config", "wrong.toml")
            assert done.returncode, f"{command} takes {new!r}"
            told = (done.stdout + done.stderr).encode()
            found.look(f"{command} of {old}", told, canaries.keys)
        (folder / "wrong.toml").unlink()
    for arguments in (("keys", "list"), ("keys", "create", "web"), ("check",), ("budgets",),
                      ("models",), ("report",), ("keys", "list", "--json")):  # fmt: skip
        done = _cli(folder, canaries, *arguments)
        told = (done.stdout + done.stderr).encode()
        found.look(f"{' '.join(arguments)}", told, {**canaries.keys, **canaries.texts})
    twice = f"a:{canaries.client},b:{canaries.client}"
    for stated in (twice, canaries.client[:7], f"a:{canaries.client}\u00e9"):
        done = _cli(folder, canaries, "check", POINTSMAN_API_KEYS=stated)
        assert done.returncode, "the keys are wrong"
        told = (done.stdout + done.stderr).encode()
        found.look("check of wrong keys", told, canaries.keys)
