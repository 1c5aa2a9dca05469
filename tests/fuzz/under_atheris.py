"""Run one target under atheris: `python -m tests.fuzz.under_atheris NAME FOLDER RUNS SEED`.

The folder takes the corpus, the input that broke a contract (`crash-*`) and slow ones (`slow-*`).
What is slow here need not be without instrumentation: whoever started this times it again.
"""

import hashlib
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["pointsman"], enable_loader_override=False):
    from tests.fuzz.mutation import INPUT_BYTES_MAX, mutated
    from tests.fuzz.target import SLOW_S, Target
    from tests.fuzz.targets import TARGETS

_SLOW_KEPT_MAX = 20


def main() -> None:
    """Fuzz; the process ends with the fuzzer's own status, 0 where nothing was found."""
    name, folder, runs, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    target = TARGETS[name]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(data)

    def mutate(data: bytes, size_max: int, number: int) -> bytes:
        rng = Random(number)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, size_max))
        return mutated(data, rng, is_json=target.is_json)[:size_max]

    options = [
        f"-runs={runs}", f"-seed={seed}", f"-max_len={INPUT_BYTES_MAX}", "-timeout=20",
        "-rss_limit_mb=4096", "-print_final_stats=1", f"-artifact_prefix={folder}/", str(corpus),
    ]  # fmt: skip
    one = _Watched(target, folder)
    atheris.Setup([sys.argv[0], *options], one.take, custom_mutator=mutate)
    atheris.Fuzz()


class _Watched:
    """Feeds a target, and keeps what took long."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._kept = 0

    def take(self, data: bytes) -> None:
        began_s = time.thread_time()
        with suppress(*self._target.refusals):
            self._target.run(data)
        if time.thread_time() - began_s > SLOW_S and self._kept < _SLOW_KEPT_MAX:
            self._kept += 1
            digest = hashlib.sha256(data).hexdigest()[:16]
            (self._folder / f"slow-{digest}").write_bytes(data)


if __name__ == "__main__":
    main()
