"""What every client's script does: read cases, let the client answer them, tell what came.

Runs in the client's own environment, on the standard library alone. A case is one line of JSON on
standard input: `dialect`, `task`, `model`, `prompt`. For each there is one line on standard
output, after `MARK`: what came as JSON, see `Got`.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

MARK = "@@ "
ORIGIN = os.environ.get("E2E_ORIGIN", "")  # the server's, such as http://127.0.0.1:4117
KEY = os.environ.get("E2E_KEY", "")
TIMEOUT_S = 60.0

Case = Mapping[str, str]
# text; calls as [name, arguments]; data, where the client gives objects; input_tokens and
# output_tokens; model; header, which is x-pointsman-model. What a client does not tell is left
# out. Where it raises: error, the exception's class; message.
Got = dict[str, Any]


def run(tasks: Mapping[str, Callable[[Case], Got]]) -> None:
    """Answer every case."""
    for line in sys.stdin:
        case = json.loads(line)
        try:
            got = tasks[case["task"]](case)
        except Exception as error:  # whatever the client raises is what came
            got = {"error": type(error).__name__, "message": str(error)}
        sys.stdout.write(f"\n{MARK}{json.dumps(got)}\n")
        sys.stdout.flush()


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where."}},
    "required": ["city"],
    "additionalProperties": False,
}
PERSON_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
