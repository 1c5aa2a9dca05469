"""Docs: the table of providers is made from the rows, and says all that they say."""

import re
from pathlib import Path

import msgspec
import pytest

from pointsman.catalog import ProviderRow, provider_rows
from pointsman.catalog.docs import BEGIN, END, providers_table, renew
from pointsman.config import parse_settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "providers.md"
EXAMPLES = re.findall(r"```toml\n(.+?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
TIER = '\n[[tiers]]\nname = "t"\nmodels = ["openai/gpt-4o"]\n'


def test_the_document_is_not_stale():
    document = DOCUMENT.read_text("utf-8")
    assert document.count(BEGIN) == document.count(END) == 1
    assert renew(document) == document, "run python -m pointsman.catalog.docs docs/providers.md"


def test_the_table_has_a_row_for_every_provider():
    lines = providers_table().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == list(provider_rows())
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 8 for line in lines)


@pytest.mark.parametrize("row", provider_rows().values(), ids=provider_rows().keys())
def test_the_table_says_what_a_row_says(row: ProviderRow):
    line = next(it for it in providers_table().splitlines() if it.startswith(f"| `{row.name}` |"))
    told = [*row.dialects, row.base_url, row.api_key_env, *row.drops, *row.lacks, row.source_url]
    assert all(part in line for part in told)
    assert row.note in line
    assert "prompt cache" in line or not row.prompt_cache_s


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_are_good(example: str):
    if "[[providers]]" in example:
        rows = msgspec.toml.decode(example, type=dict[str, list[ProviderRow]])
        assert [row.name for row in rows["providers"]] == ["example"]
    else:
        text = example if "[[tiers]]" in example else example + TIER
        env = dict.fromkeys(["OPENAI_API_KEY", "GROQ_API_KEY", "LOCAL_KEY"], "k")
        parse_settings(text, "pointsman.toml", env)


def test_every_field_of_a_row_is_explained():
    document = DOCUMENT.read_text("utf-8").partition("## Adding one")[2]
    assert all(field in document for field in ProviderRow.__struct_fields__)
