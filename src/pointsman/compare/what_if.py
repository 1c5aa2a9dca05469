"""What if: another tier table, price list or routing in place of the configured one."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pointsman.config import Settings, check_settings
from pointsman.config.locate import locate
from pointsman.config.problems import Origin, Problem, raise_problems
from pointsman.config.structure import read_struct
from pointsman.core.errors import ConfigError

_TABLES = ("providers", "tiers", "prices", "routing")
_BYTES_MAX = 256_000


def with_what_if(settings: Settings, path: Path, env: Mapping[str, str]) -> Settings:
    """Return the settings with what a file states in place of theirs.

    `[[tiers]]` and `[routing]` replace the whole table; `[prices]` and `[providers]` what they
    name, beside what else is configured.

    Raises ConfigError that tells every problem of the file, one a line.
    """
    text = _read(path)
    try:
        data = tomllib.loads(text)
        origin = Origin(str(path), locate(text))
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}; correct it there") from None
    problems = [
        Problem((name,), f"has no place in a what-if; state {', '.join(_TABLES)}")
        for name in data
        if name not in _TABLES
    ]
    stated, misfits = read_struct({name: data[name] for name in data if name in _TABLES}, Settings)
    raise_problems([*problems, *misfits], origin)
    assert stated is not None, "what cannot be read has problems"
    if not data:
        raise ConfigError(f"{path}: states nothing; state {', '.join(_TABLES)}")
    combined = msgspec.structs.replace(
        settings,
        tiers=stated.tiers if "tiers" in data else settings.tiers,
        routing=stated.routing if "routing" in data else settings.routing,
        prices={**settings.prices, **stated.prices},
        providers={**settings.providers, **stated.providers},
    )
    try:
        check_settings(combined, env, needs_keys=False)
    except ConfigError as error:
        lines = (f"{path}, with the configuration: {line}" for line in error.message.splitlines())
        raise ConfigError("\n".join(lines)) from error
    return combined


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(
            f'--what-if "{path}": cannot be read: {error.strerror}; name a TOML file with'
            f" {', '.join(_TABLES)}"
        ) from error
    if len(content) > _BYTES_MAX:
        raise ConfigError(f'--what-if "{path}": is over {_BYTES_MAX} bytes; is it the right file?')
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f'--what-if "{path}": is not UTF-8; save it as UTF-8') from error
