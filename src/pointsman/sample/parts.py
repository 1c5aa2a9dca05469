"""Parts: the two bundled labelled samples, as logs that `compare` and `evaluate` can read.

`sample` has figures alone: hashed features and real outcomes of public benchmarks, whose texts
are not ours to carry. `chores` has our own texts in full, and what two small local models made of
them.
"""

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from typing import BinaryIO

import msgspec

from pointsman.sample.chores import Chore, load_chores

PROVIDER = "sample"


@dataclass(frozen=True, slots=True)
class Part:
    """One sample. `caveat`: what its figures do not show. `config_text`: its own tiers, as TOML.

    `is_held_out`: the scorer's twin decides it, which has not learned from these rows.
    """

    name: str
    title: str
    caveat: str
    is_held_out: bool

    @property
    def config_text(self) -> str:
        """Return the `pointsman.toml` that has the part's tiers and prices."""
        file = "figures.toml" if self.name == "sample" else "chores.toml"
        return files(__package__).joinpath(file).read_text("utf-8")

    def open(self) -> BinaryIO:
        """Return its rows as `compare.labelled` reads them, one JSON object a line."""
        if self.name == "sample":
            packed = files(__package__).joinpath("figures.jsonl.gz").read_bytes()
            return BytesIO(gzip.decompress(packed))
        return BytesIO(b"".join(_labelled_lines(load_chores())))


PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (
        Part(
            name="sample",
            title="the bundled sample: 1,023 benchmark requests (code, code reading, maths)",
            caveat=(
                "Benchmark questions are not developers' traffic: no refactoring, long review or"
                " agent work is in it, its models are of 2024, and its costs are estimates from"
                " list prices. It shows how strategies compare on equal terms, not what you"
                " will save."
            ),
            is_held_out=True,
        ),
        Part(
            name="chores",
            title="the bundled chores: short edits, conversions and look-ups",
            caveat=(
                "Two very small local models, priced as hosted ones: what is real is which answers"
                " were right and how many tokens they took. Latencies are from a busy machine."
            ),
            is_held_out=False,
        ),
    )
}


def _labelled_lines(chores: tuple[Chore, ...]) -> Iterator[bytes]:
    for chore in chores:
        outcomes = {f"{PROVIDER}/{name}": it for name, it in chore.outcomes.items()}
        row = {
            "id": chore.id,
            "group": chore.group,
            "prompt": chore.text,
            "scores": {name: float(it.is_right) for name, it in outcomes.items()},
            "usage": {
                name: {"input_tokens": it.input_tokens, "output_tokens": it.output_tokens}
                for name, it in outcomes.items()
            },
            "latency_ms": {name: it.latency_ms for name, it in outcomes.items()},
            "accepted": {name: it.is_accepted for name, it in outcomes.items()},
        }
        yield msgspec.json.encode(row) + b"\n"
