"""Chores: short requests that developers send all day, with full text and a check of the answer.

Each holds what the two local models of `pointsman demo` made of it, measured by
`bench/measure_chores.py`, which also says how.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final, Literal, TypeAlias

import msgspec

from pointsman.sample.checks import Check, accepts

Group: TypeAlias = Literal["edit", "convert", "rename", "extract", "lookup", "maths", "classify"]

MODELS: Final = ("gemma", "smollm2")


class Outcome(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What one model made of a chore.

    is_right: the chore's check accepts the answer.
    validator: the production validator that rejects the draft; "" where none does.
    input_tokens: without the worked examples of a base model's chat template.
    latency_ms: of the whole answer. The bundled ones are from two overloaded cores, one thread a
        model, three runs at a time: several times what an idle machine takes.
    """

    is_right: bool
    validator: str = ""
    finish_reason: str
    input_tokens: int
    output_tokens: int
    latency_ms: int
    answer: str

    @property
    def is_accepted(self) -> bool:
        """Return whether the validators would let the draft out."""
        return not self.validator


class Chore(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One request: its only user turn, the check of an answer, and outcomes by model name.

    The models are MODELS, those of `pointsman.demo.models`; none where it is not measured yet.
    """

    id: str
    group: Group
    text: str
    check: Check
    outcomes: Mapping[str, Outcome] = {}

    def accepts(self, answer: str) -> bool:
        """Return whether an answer to this request is right."""
        return accepts(self.check, answer)


def load_chores() -> tuple[Chore, ...]:
    """Return the bundled chores that all MODELS were measured on, in their order."""
    chores = parse_chores(files(__package__).joinpath("chores.jsonl").read_bytes())
    return tuple(chore for chore in chores if chore.outcomes.keys() >= set(MODELS))


def parse_chores(lines: bytes) -> tuple[Chore, ...]:
    """Return the chores of a text of one JSON object a line.

    Raises: ValueError where a line is malformed (msgspec.ValidationError) or an id comes twice.
    """
    chores = tuple(msgspec.json.Decoder(Chore).decode_lines(lines))
    seen: set[str] = set()
    for chore in chores:
        if chore.id in seen:
            raise ValueError(f'chore "{chore.id}" appears twice; give each its own id')
        seen.add(chore.id)
    return chores


def format_chores(chores: tuple[Chore, ...]) -> bytes:
    """Return what `parse_chores` reads."""
    return msgspec.json.Encoder().encode_lines(chores).rstrip(b"\n") + b"\n"
