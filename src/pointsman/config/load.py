"""Load: finds `pointsman.toml`, reads it and says everything that is wrong with it."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

import msgspec
import platformdirs

from pointsman.config.environment import (
    NO_TIERS,
    providers_with_keys,
    settings_from_environment,
    starter_tiers,
)
from pointsman.config.locate import locate
from pointsman.config.problems import Origin, Problem, raise_problems
from pointsman.config.rules import find_faults, find_lacks
from pointsman.config.secrecy import find_secrets, hide_secrets
from pointsman.config.settings import Settings
from pointsman.config.structure import read_struct
from pointsman.core.errors import ConfigError

FILE_NAME = "pointsman.toml"
CONFIG_ENV = "POINTSMAN_CONFIG"

_FILE_BYTES_MAX = 256_000
_TOML_PLACE = re.compile(r"(?<!\s)\s*\(at (?:line (\d+), column \d+|end of document)\)$")


def load_settings(path: str | None, env: Mapping[str, str], *, needs_keys: bool = True) -> Settings:
    """Return the settings of the file that is found, or of the provider keys in `env`.

    `path` is what `--config` says. Without `needs_keys`, what the environment lacks is no error:
    for commands that call no one and serve no one.

    Raises ConfigError that tells every problem, one a line.
    """
    found = find_config(path, env)
    if found is None:
        settings = settings_from_environment(env)
        check_settings(settings, env, needs_keys=needs_keys)
        return settings
    return parse_settings(_read(found), str(found), env, needs_keys=needs_keys)


def find_config(path: str | PathLike[str] | None, env: Mapping[str, str]) -> Path | None:
    """Return the configuration file to read, None when there is none.

    Raises ConfigError when one is named, by `path` or $POINTSMAN_CONFIG, and not there.
    """
    for source, named in (("--config", path), (f"${CONFIG_ENV}", env.get(CONFIG_ENV))):
        if named:
            file = Path(named).expanduser()
            if not file.is_file():
                raise ConfigError(
                    f"{named}: {source} names this file, and there is none;"
                    f" correct the path, or run `pointsman init {named}`"
                )
            return file
    here = Path(FILE_NAME)
    for file in (here, platformdirs.user_config_path("pointsman", appauthor=False) / FILE_NAME):
        if file.is_file():
            return file
    return None


def parse_settings(
    text: str, file: str, env: Mapping[str, str], *, needs_keys: bool = True
) -> Settings:
    """Return the settings that a TOML text states; `file` is its name in messages.

    Raises ConfigError that tells every problem, one a line.
    """
    try:
        data = tomllib.loads(text)
        origin = Origin(file, locate(text))
    except RecursionError:
        raise ConfigError(f"{file}: is nested too deeply to be read; write it flatter") from None
    except ValueError as error:  # TOMLDecodeError, and int() over too many digits
        raise ConfigError(_syntax_message(file, text, str(error))) from None
    problems = [*_secrets(data)]
    settings, misfits = read_struct(data, Settings)
    problems += misfits
    if settings is not None:
        if not settings.tiers:
            tiers = starter_tiers(providers_with_keys(env))
            settings = msgspec.structs.replace(settings, tiers=tiers)
        problems += _faults(settings, env, needs_keys=needs_keys)
    raise_problems(problems, origin)
    assert settings is not None, "what cannot be read has problems"
    return settings


def check_settings(settings: Settings, env: Mapping[str, str], *, needs_keys: bool = True) -> None:
    """Check settings that were made in Python. Raises ConfigError that tells every problem."""
    try:
        data = msgspec.to_builtins(settings)
    except TypeError as error:
        raise ConfigError(f"settings: {error}; params hold what JSON has a form for") from error
    kept, problems = read_struct(data, Settings)
    problems += _secrets(data)
    if kept is not None:
        problems += _faults(kept, env, needs_keys=needs_keys)
    raise_problems(problems, Origin())


def _faults(settings: Settings, env: Mapping[str, str], *, needs_keys: bool) -> Iterator[Problem]:
    if not settings.tiers:
        yield Problem(("tiers",), NO_TIERS)
    yield from find_faults(settings)
    if needs_keys:
        yield from find_lacks(settings, env)


def _secrets(data: object) -> Iterator[Problem]:
    for path in find_secrets(data):
        yield Problem(
            path,
            "looks like a secret, which must not stand in a file; export it as an environment"
            " variable, name that in api_key_env, take it out here and renew it",
        )


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; check its rights") from error
    if len(content) > _FILE_BYTES_MAX:
        raise ConfigError(f"{file}: is over {_FILE_BYTES_MAX} bytes; is it the right file?")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}, line {line}: is not UTF-8; save the file as UTF-8") from error


def _syntax_message(file: str, text: str, message: str) -> str:
    place = _TOML_PLACE.search(message)
    reason = _TOML_PLACE.sub("", message)
    lines = text.count("\n") + (not text.endswith("\n"))
    where = f", line {place.group(1) or lines}" if place else ""
    return f"{file}{where}: not valid TOML: {hide_secrets(reason)}; correct it there"
