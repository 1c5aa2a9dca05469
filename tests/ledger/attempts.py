"""Builders of intents and ends, looks into a file, and a child process that can be killed."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from pointsman.core.usage import Usage
from pointsman.ledger import Intent, Settlement
from pointsman.ledger.sqlite import SqliteLedger

SETTLED = Settlement(
    state="settled",
    outcome="answered",
    usage=Usage(
        input_tokens=100,
        cached_input_tokens=20,
        cache_write_tokens=10,
        long_cache_write_tokens=4,
        output_tokens=50,
        reasoning_tokens=5,
        is_estimated=True,
    ),
    cost_nanousd=1_234_567,
    latency_ms=321,
    ttft_ms=45,
    error="",
    cache="off",
)
FAILED = Settlement(
    state="voided", outcome="failed", cost_nanousd=0, error="upstream_timeout", latency_ms=9
)
HIT = Settlement(
    state="settled",
    outcome="hit",
    usage=Usage(input_tokens=7, output_tokens=3),
    cost_nanousd=0,
    cache="hit",
)
OPEN = Settlement(state="reserved", outcome="pending")
LOST = Settlement(state="unknown", outcome="lost")
VOIDED = Settlement(state="voided", outcome="cancelled", cost_nanousd=0)

# Reserves attempt 1 of request after request and says so; "settle" ends each before the next.
CHILD = """
import asyncio, os, sys
from pointsman.ledger.opening import open_ledger
from tests.ledger.attempts import SETTLED, intent

async def main(url, durability, mode):
    ledger = open_ledger(url, durability=durability)
    number = 0
    while True:
        number += 1
        await ledger.reserve(intent(f"r{os.getpid()}-{number}", at_ns=number))
        print("reserved", f"r{os.getpid()}-{number}", flush=True)
        if mode == "exit":
            os._exit(9)
        if mode == "wait":
            sys.stdin.readline()
        await ledger.settle(f"r{os.getpid()}-{number}", 1, SETTLED)
        print("settled", f"r{os.getpid()}-{number}", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def ends(ledger: SqliteLedger) -> list[Settlement]:
    """Return the end of each row, in their order."""
    return [row.settlement for row in ledger.rows()]


def lock(path: Path) -> sqlite3.Connection:
    """Lock a ledger's file as another writer would, until the connection is closed."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def intent(request_id: str = "r1", attempt: int = 1, *, at_ns: int = 1_000, **more: Any) -> Intent:
    fields: dict[str, Any] = {
        "tenant": "acme",
        "key": "ci",
        "tags": '{"team":"search"}',
        "alias": "auto",
        "tier": "fast",
        "deployment": "openai/gpt-4o-mini",
        "policy": "signals",
        "reason": "short",
        "price_version": "test/1",
        "worst_case_nanousd": 5_000_000,
        "is_stream": True,
    } | more
    return Intent(request_id=request_id, attempt=attempt, at_ns=at_ns, **fields)


def start_child(url: str, *, mode: str, durability: str = "strict") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url, durability, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
