"""Template: the commented `pointsman.toml` that `pointsman init` writes.

Lines that begin with `##` explain; those that begin with `# ` are settings to switch on, shown with
their defaults or an example.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from pointsman.config.docs import DocumentedKey, Section, sections
from pointsman.config.settings import PriceSettings, TierSettings
from pointsman.config.toml_text import write_key, write_pair

_TEXT_WIDTH = 96
_PREAMBLE = (
    "pointsman's configuration. `pointsman check` says what is wrong with it, `pointsman models`"
    " what it amounts to. Lines with ## explain; lines with # are settings, shown with their"
    " defaults or, where there is none, with an example. Secrets never stand here: they come from"
    " the environment."
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What the file switches on. `notes`: what was found, for the top of the file.

    `providers`: by name, the keys to write, empty for one that the catalogue knows wholly.
    """

    providers: Mapping[str, Mapping[str, str]]
    tiers: tuple[TierSettings, ...] = ()
    prices: Mapping[str, PriceSettings] | None = None
    notes: tuple[str, ...] = ()


def configuration_text(draft: Draft) -> str:
    """Return the file: what `draft` switches on, and every other key commented out."""
    lines = [*_explain(_PREAMBLE)]
    for note in draft.notes:
        lines += ["##", *_explain(note)]
    for section in sections():
        if section.pattern == ("tiers", "*", "models", "*"):
            continue  # shown where models are
        lines += ["", *_explain(section.text), *_section(section, draft)]
    return "\n".join(lines) + "\n"


def _section(section: Section, draft: Draft) -> Iterator[str]:
    match section.pattern:
        case ("providers", "*"):
            for name, keys in draft.providers.items():
                yield from _table(f"[providers.{write_key(name)}]", keys)
            yield from _example("[providers.local]", section)
        case ("tiers", "*"):
            for tier in draft.tiers:
                yield from _table("[[tiers]]", msgspec.to_builtins(tier))
            yield from _tier_example(section)
        case ("prices", "*"):
            for name, price in (draft.prices or {}).items():
                yield from _table(f"[prices.{write_key(name)}]", msgspec.to_builtins(price))
            yield from _example('[prices."local/qwen3"]', section)
        case ("routing", "bounds", "*"):
            yield from _example("[routing.bounds.team-a]", section)
        case ("budgets", "keys", "*"):
            yield from _example("[budgets.keys.ci]", section)
        case ("budgets", "tags", "*"):
            yield from _example('[budgets.tags."team=search"]', section)
        case _:
            yield section.header
            for key in section.keys:
                yield from _explain(_meaning(key))
                yield from _comment(_pair(key))


def _table(header: str, keys: Mapping[str, object]) -> Iterator[str]:
    yield header
    for key, value in keys.items():
        if value is not None:
            yield from write_pair(key, value)
    yield ""


def _example(header: str, section: Section) -> Iterator[str]:
    yield from _comment([header])
    for key in section.keys:
        yield from _explain(_meaning(key))
        yield from _comment(_pair(key))


def _tier_example(section: Section) -> Iterator[str]:
    yield from _example("[[tiers]]", section)
    (models,) = (one for one in sections() if one.pattern == ("tiers", "*", "models", "*"))
    yield from _explain(f"{models.text} Its keys:")
    for key in models.keys:
        yield from _explain(f"  {key.name}: {_meaning(key)}", indent="      ")
    pairs = ", ".join(f"{key.name} = {key.facts.example}" for key in models.keys)
    yield from _comment(["[[tiers]]", 'name = "example"', f"models = [{{ {pairs} }}]"])


def _meaning(key: DocumentedKey) -> str:
    return f"{key.facts.text} ({key.facts.hint})" if key.facts.hint else key.facts.text


def _pair(key: DocumentedKey) -> list[str]:
    if key.default is msgspec.UNSET:
        return [f"{key.name} = {key.facts.example}"]
    return write_pair(key.name, key.default)


def _comment(lines: Iterable[str]) -> Iterator[str]:
    return (f"# {line}" for line in lines)


def _explain(text: str, indent: str = "") -> Iterator[str]:
    wrapper = textwrap.TextWrapper(
        _TEXT_WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    for line in wrapper.wrap(text):
        yield f"## {line}"
