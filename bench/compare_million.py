"""Compare a million logged requests: how fast, and in how much memory.

    python bench/compare_million.py [--requests 1000000] [--strategies NAMES]

Writes a synthetic log into a temporary folder, about 1.1 kB a line, and runs `pointsman compare`
over it in a process of its own. The aim: 300 us a request, all default strategies, on one core.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CONFIG = """
[providers.acme]
dialect = "openai-chat"
base_url = "http://127.0.0.1:1/v1"
[[tiers]]
name = "fast"
models = ["acme/small"]
[[tiers]]
name = "mid"
models = ["acme/middle"]
[[tiers]]
name = "power"
models = ["acme/big"]
[prices."acme/small"]
input = 1.0
output = 2.0
[prices."acme/middle"]
input = 2.0
output = 8.0
[prices."acme/big"]
input = 10.0
output = 30.0
"""
ASKS = ("explain", "convert", "architect", "why does", "write a test for", "rename", "review")
TEXT = (
    "the parser fails on a nested list when its second field holds no value and the cache is cold"
    " so the worker retries until a timeout ends the whole batch def load(path): return open(path)"
)
MODELS = ("small", "middle", "big")
# Most prompts are short, some are long: words a prompt, and how often.
LENGTHS = ((12, 40), (60, 40), (150, 15), (700, 5))


def lines(count: int) -> Iterator[str]:
    """Yield the lines of the log; every tenth request asks again what was asked before."""
    rng, words = random.Random(0), TEXT.split()
    lengths = [length for length, weight in LENGTHS for _ in range(weight)]
    recent: list[str] = []
    for number in range(count):
        if recent and rng.random() < 0.1:
            prompt = rng.choice(recent)
        else:
            text = " ".join(rng.choices(words, k=rng.choice(lengths)))
            prompt = f"{rng.choice(ASKS)} {text}"
            recent = [*recent[-200:], prompt]
        tokens_in, tokens_out = len(prompt) // 4, rng.randrange(1, 600)
        reply = {
            "created": 1_793_000_000 + number,
            "model": rng.choice(MODELS),
            "choices": [{"message": {"content": "x" * 200}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out},
        }
        request = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
        latency_ms = 200 + 5 * tokens_out
        yield json.dumps({"request": request, "response": reply, "latency_ms": latency_ms})


def main() -> None:
    """Write the log, compare it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--strategies", default="", help="as pointsman compare has it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as folder:
        log, config = Path(folder, "log.jsonl"), Path(folder, "pointsman.toml")
        config.write_text(CONFIG, encoding="utf-8")
        with log.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines(options.requests))
        print(f"{options.requests:,} requests, {log.stat().st_size / 1e6:,.0f} MB", flush=True)
        command = [sys.executable, "-m", "pointsman", "compare", "--config", str(config)]
        command += ["--data", str(log)]
        command += ["--strategies", options.strategies] if options.strategies else []
        began_s = time.perf_counter()
        subprocess.run(command, check=True)
        taken_s = time.perf_counter() - began_s
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime
    print(f"{taken_s:,.1f} s, {options.requests / taken_s:,.0f} requests/s by the clock")
    print(f"{cpu_s:,.1f} s of CPU, {1e6 * cpu_s / options.requests:,.0f} us a request")
    print(f"peak RSS {used.ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
