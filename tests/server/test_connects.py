"""A server that runs calls the upstreams of its configuration, and nobody else: nothing at boot."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from tests.server import upstreams
from tests.server.processes import MAIN, chat_body, served

CHAT = "/v1/chat/completions"
# Told by the interpreter itself, before the call is made; the file is not buffered.
HOOK = """
import sys
def heard(event, given):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen",
                 "urllib.Request", "os.exec", "os.system"):
        with open("heard.txt", "a") as file:
            file.write(f"{event} {given[1:] if event == 'socket.connect' else given}\\n")
sys.addaudithook(heard)
from pointsman.cli import main
main()
"""


def use(folder: Path) -> str:
    """Serve, ask every kind of thing once, and stop; return the upstream's port."""
    with upstreams.running() as upstream:
        with served(folder, upstreams.config(upstream)) as server:
            for path in ("/", "/health/live", "/health/ready", "/metrics", "/v1/models"):
                assert server.ask("GET", path)[0] == 200
            assert server.ask("GET", "/openapi.json")[0] == 200
            assert server.ask("POST", CHAT, chat_body(model="plain"))[0] == 200
            server.ask("POST", CHAT, chat_body(model="failing"))
            server.ask("POST", "/v1/decide", chat_body())
            assert server.stop() == 0
        return str(upstream.base_url.rpartition(":")[2].partition("/")[0])


def test_a_server_connects_to_its_upstreams_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.server.processes.MAIN", [sys.executable, "-c", HOOK])
    port = use(tmp_path)
    heard = (tmp_path / "heard.txt").read_text("utf-8").splitlines()
    asked = [line for line in heard if "getaddrinfo" not in line or port not in line]
    # The loop connects by itself, below the hook, so what else Python was asked for is nothing.
    assert [line for line in asked if f", {port})" not in line and "127.0.0.1" not in line] == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_kernel_is_asked_for_no_other_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trace = tmp_path / "trace.txt"
    strace = ["strace", "-D", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace)]
    monkeypatch.setattr("tests.server.processes.MAIN", [*strace, *MAIN])
    port = use(tmp_path)
    lines = trace.read_text("utf-8").splitlines()
    calls = [line for line in lines if re.search(r"\bsa_family=AF_INET", line)]
    assert any(f"htons({port})" in line for line in calls), "what was called is seen"
    assert [line for line in calls if f"htons({port})" not in line] == []
    named = [line for line in lines if re.search(r"\bsun_path=", line)]
    assert named == [], "nor the services of this machine"
