"""Bodies of requests: one prompt of a chosen length, in OpenAI's or Anthropic's form.

In a body `@@MODEL@@` stands for the model's name and `@@N@@` for a counter, which makes every
request another one. Run: python -m bench.speed.bodies [--chars 1500] [--dialect openai] [--stream]
"""

import argparse
import json
from typing import Literal, TypeAlias

Dialect: TypeAlias = Literal["openai", "anthropic"]

MODEL, COUNTER = "@@MODEL@@", "@@N@@"
SMALL_CHARS, LARGE_CHARS = 1_500, 100_000
SYSTEM = "You are a careful assistant. Answer briefly."
PARAGRAPH = (
    "Read the report of last night's incident and write what the engineer on call needs: the root "
    'cause, the times, whom it hurt, and three things to do with owners. Leave "quotes" and code '
    "such as `SELECT count(*) FROM jobs WHERE state = 'failed';` as they are.\n"
)


def body(dialect: Dialect, chars: int, *, is_stream: bool = False) -> str:
    """Return a request as JSON; `chars` is the length of the user's prompt."""
    repeated = PARAGRAPH * (chars // len(PARAGRAPH) + 1)
    user = {"role": "user", "content": f"Ticket {COUNTER}. {repeated[:chars]}"}
    said: dict[str, object] = {"model": MODEL}
    if dialect == "anthropic":
        said |= {"system": SYSTEM, "messages": [user]}
    else:
        said |= {"messages": [{"role": "system", "content": SYSTEM}, user]}
    said |= {"temperature": 0.2, "max_tokens": 256}
    if is_stream:
        said["stream"] = True
    return json.dumps(said)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.bodies")
    parser.add_argument("--dialect", choices=("openai", "anthropic"), default="openai")
    parser.add_argument("--chars", type=int, default=SMALL_CHARS)
    parser.add_argument("--stream", action="store_true")
    given = parser.parse_args()
    print(body(given.dialect, given.chars, is_stream=given.stream))


if __name__ == "__main__":
    main()
