"""Replay: lets one seed's world happen again and prints all of it.

python -m tests.simulation.replay 1234
"""

import argparse
import sys
from pathlib import Path

from tests.simulation.trace import Broken
from tests.simulation.world import replayed


def main() -> int:
    parser = argparse.ArgumentParser(description="let one seed's world happen again")
    parser.add_argument("seed", type=int)
    parser.add_argument("--digest", action="store_true", help="print the trace's digest alone")
    given = parser.parse_args()
    trace = replayed(given.seed)
    if given.digest:
        print(trace.digest)  # noqa: T201
        return 0
    print("\n".join(trace.lines))  # noqa: T201
    try:
        trace.check()
    except Broken as broken:
        print(broken, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    sys.exit(main())
