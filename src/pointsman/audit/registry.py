"""Registry: the judge that `[audit] judge` names."""

import shlex
from collections.abc import Sequence

from pointsman.audit.judges import ByCommand, ByValidators, Judge, judge_fault, load_judge
from pointsman.audit.pairwise import ByModel
from pointsman.core.errors import ConfigError
from pointsman.validators import Validator


def build_judge(spec: str, validators: tuple[Validator, ...], tiers: Sequence[str]) -> Judge:
    """Return the judge of a name, see `judges`. Raises ConfigError."""
    if fault := judge_fault(spec, tiers):
        raise ConfigError(f'audit.judge = "{spec}": {fault}')
    if spec == "validators":
        return ByValidators(validators)
    kind, colon, rest = spec.partition(":")
    if colon and kind == "command":
        return ByCommand(tuple(shlex.split(rest)))
    if colon and kind == "tier":
        return ByModel(rest)
    return load_judge(spec)
