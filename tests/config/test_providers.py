"""Providers: what a table may say of one, and what its address needs of the environment."""

import pytest

from pointsman.config import parse_settings
from pointsman.config.environment import providers_with_keys
from pointsman.core.errors import ConfigError

CANARY = "sk-proj-canaryCANARY1234567890canary"
ENV = {"OPENAI_API_KEY": "o", "AZURE_OPENAI_API_KEY": "a", "AWS_BEARER_TOKEN_BEDROCK": "b"}


def load(table: str, *, model: str = "openai/gpt-4o", **env: str) -> None:
    text = f'[providers.openai]\n{table}\n[[tiers]]\nname = "t"\nmodels = ["{model}"]\n'
    parse_settings(text, "pointsman.toml", {**ENV, **env})


def told(table: str, *, model: str = "openai/gpt-4o", **env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(table, model=model, **env)
    return caught.value.message


@pytest.mark.parametrize(
    "table",
    [
        'dialect = "openai-chat"',
        'auth_header = "api-key"',
        'auth_header = "X-Api-Key"',
        'headers = { OpenAI-Organization = "org-1", x-title = "my app" }',
        'max_tokens_field = "max_tokens"',
        'prompt_cache = "mark"',
        'prompt_cache = "mark"\ndialect = "anthropic"\nbase_url = "https://a.example/v1"',
        'prompt_cache = "off"\ndialect = "gemini"\nbase_url = "https://a.example/v1"',
        'base_url = "https://{MY_RESOURCE}.example.com/v1"',
        'base_url = "http://127.0.0.1:9/v1"\nauth_header = "x-goog-api-key"',
    ],
)
def test_a_table_may_say_otherwise_than_the_catalogue(table: str):
    load(table, MY_RESOURCE="mine")


@pytest.mark.parametrize(
    ("table", "holds"),
    [
        ('dialect = "anthropik"', ["line 2: providers.openai.dialect", "there are: openai-chat"]),
        ('auth_header = "two words"', ["auth_header", "must be the name of a header"]),
        ('auth_header = ""', ["auth_header", "must be the name of a header"]),
        ('auth_header = "Content-Length"', ["auth_header", "must be the name of a header"]),
        ('headers = { Authorization = "x" }', ["headers.Authorization", "looks like a secret"]),
        ('headers = { api-key = "x" }', ["headers.api-key", "looks like a secret", "auth_header"]),
        ('headers = { Cookie = "a=b" }', ["headers.Cookie", "is pointsman's to set"]),
        ('headers = { Host = "a" }', ["headers.Host", "is pointsman's to set"]),
        ('headers = { "a b" = "c" }', ["is not the name of a header"]),
        ('headers = { x-a = "b\\nc" }', ["headers.x-a", "must be visible ASCII"]),
        ('headers = { x-a = "" }', ["headers.x-a", "must be visible ASCII"]),
        ("headers = { x-a = 1 }", ["headers.x-a = 1: must be text in quotes"]),
        ('prompt_cache = "marks"', ["must be one of", "mark, off"]),
        (
            'dialect = "gemini"\nbase_url = "https://a.example/v1"\nprompt_cache = "mark"',
            ["line 4: providers.openai.prompt_cache", "no marks in the dialect gemini"],
        ),
        ('max_tokens_field = "max"', ["must be one of", "max_completion_tokens"]),
        ('base_url = "https://{}.example.com"', ["must not hold braces"]),
        ("base_url = 'https://a.example\\com/v1'", ["must not hold a backslash"]),
        ('base_url = "http://[::1]80/v1"', ["must name a host"]),
        ('base_url = "http://a;b.example/v1"', ["must name a host"]),
        ('base_url = "http://a.example:/v1"', ["must name a host"]),
        ('base_url = "https://a.example.com/{a b}"', ["must not hold"]),
        ('base_url = "https://a.example.com/{OPENAI_API_KEY}"', ["must not hold a secret"]),
    ],
)
def test_what_no_table_may_say_is_told(table: str, holds: list[str]):
    message = told(table)
    assert all(part in message for part in holds), message


def test_a_key_in_a_header_is_never_shown():
    assert CANARY not in told(f'headers = {{ x-trace = "{CANARY}" }}')
    assert CANARY not in told(f'auth_header = "{CANARY} "')


@pytest.mark.parametrize(
    ("model", "variable"),
    [("azure/my-gpt", "AZURE_OPENAI_RESOURCE"), ("bedrock/openai.gpt-oss-20b-1:0", "AWS_REGION")],
)
def test_an_address_that_lacks_a_variable_is_told_with_its_remedy(model: str, variable: str):
    message = told("", model=model)
    assert f"{variable} is not set" in message
    assert "line 5" in message and f"export {variable}=…" in message
    load("", model=model, **{variable: "us-east-1"})


@pytest.mark.parametrize("value", ["evil.example/", "a@b", "a b", "-a", "a" * 64])
def test_a_variable_that_would_lead_elsewhere_is_refused_and_not_shown(value: str):
    message = told("", model="azure/my-gpt", AZURE_OPENAI_RESOURCE=value)
    assert "AZURE_OPENAI_RESOURCE must be letters, digits and hyphens alone" in message
    assert value not in message


def test_an_address_of_ones_own_needs_its_variables_too():
    message = told('base_url = "https://{MY_RESOURCE}.example.com/v1"')
    assert "line 2: providers.openai.base_url" in message
    assert "MY_RESOURCE is not set" in message


def test_an_address_counts_only_where_its_provider_is_used():
    load("[providers.azure]")


def test_a_model_for_embeddings_needs_its_key_too():
    table = '[embeddings]\nmodels = ["mistral/mistral-embed"]'
    message = told(table)
    assert "line 3: embeddings.models[0]" in message
    assert "MISTRAL_API_KEY is not set" in message and "out of [embeddings]" in message
    load(table, MISTRAL_API_KEY="m")


@pytest.mark.parametrize("param", ["model", "messages", "input", "contents", "stream"])
def test_what_a_request_is_made_of_is_no_param(param: str):
    with pytest.raises(ConfigError, match="is pointsman's to set"):
        parse_settings(
            '[[tiers]]\nname = "t"\n'
            f'models = [{{ model = "openai/gpt-4o", params = {{ {param} = "x" }} }}]\n',
            "pointsman.toml",
            ENV,
        )


def test_a_key_is_not_enough_where_the_address_is_open():
    assert "azure" not in providers_with_keys(ENV)


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("{ hihg = 100.0 }", "no such effort"),
        ("{ high = 0 }", "must be more than 0"),
        ("{ high = -1.5 }", "must be more than 0"),
        ("{ high = 1e9 }", "at most 864000 seconds"),
        ('{ high = "long" }', "first_byte_by_effort"),
    ],
)
def test_a_limit_by_effort_is_checked(stated: str, told: str):
    text = f"[timeouts]\nfirst_byte_by_effort = {stated}\n"
    with pytest.raises(ConfigError, match=told):
        parse_settings(text, "test.toml", {})


def test_limits_by_effort_are_read():
    text = (
        "[timeouts]\nfirst_byte_by_effort = { high = 180, none = 5.5 }\n"
        '[providers.x]\nbase_url = "http://127.0.0.1:1/v1"\nprivate = true\n'
        '[[tiers]]\nname = "t"\nmodels = [{ model = "x/m", first_byte_s = 7 }]\n'
    )
    limits = parse_settings(text, "test.toml", {}).timeouts.first_byte_by_effort
    assert limits == {"high": 180, "none": 5.5}
