"""Loading: a good file loads; whatever is wrong is told with file, line, key, value and remedy."""

import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pointsman.access.sqlite_keys import SqliteKeys
from pointsman.config import (
    ModelSettings,
    ProviderSettings,
    RoutingSettings,
    ServerSettings,
    Settings,
    TierSettings,
    check_exposure,
    check_settings,
    find_config,
    load_settings,
    parse_settings,
)
from pointsman.config.structure import read_struct
from pointsman.core.errors import ConfigError
from pointsman.core.grants import EVERYTHING
from pointsman.ledger import LedgerSettings

SPEC = (Path(__file__).parent / "spec_example.toml").read_text("utf-8")
ENV = {"OPENAI_API_KEY": "o", "ANTHROPIC_API_KEY": "a"}
CANARY = "sk-proj-canaryCANARY1234567890canary"

# (id, what to replace in SPEC, with what, what the message holds)
BAD: list[tuple[str, str, str, list[str]]] = [
    (
        "unknown provider",
        '"openai/gpt-4o", "anth',
        '"openia/gpt-4o", "anth',
        ['line 18: tiers[1].models[0] = "openia/gpt-4o": no provider "openia"', 'mean "openai"?'],
    ),
    (
        "unknown provider, none near",
        "openai/gpt-5.4",
        "zzz/gpt-5.4",
        ['line 22: tiers[2].models[0].model = "zzz/gpt-5.4"', "Add [providers.zzz]"],
    ),
    ("unknown key", "port = 4117", "prot = 4117", ["line 3: server.prot = 4117", '"port"?']),
    (
        "unknown section",
        "[validation]",
        "[validations]",
        ["line 40: validations = {…}: unknown key", '"validation"?'],
    ),
    (
        "unknown key of a model",
        "params = {",
        "parameters = {",
        ["line 22: tiers[2].models[0].parameters = {…}", "context_tokens", '"params"?'],
    ),
    ("port out of range", "4117", "70000", ["line 3: server.port = 70000", "1 to 65535"]),
    ("port zero", "4117", "0", ["line 3: server.port = 0", "1 to 65535"]),
    ("port as text", "4117", '"4117"', ['server.port = "4117": must be a whole number']),
    ("boolean as number", "4117", "true", ["server.port = true: must be a whole number"]),
    ("text as boolean", "exact = true", 'exact = "yes"', ['cache.exact = "yes": must be true or']),
    ("huge number", "86400", "0x" + "F" * 5000, ["cache.ttl_s = (a huge number)"]),
    ("too many digits", "86400", "9" * 5000, ["pointsman.toml: not valid TOML"]),
    ("no tier name", 'name = "mid"\n', "", ["line 16: tiers[1].name: is missing", "name ="]),
    (
        "tier without a model",
        '["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"]',
        "[]",
        ["line 14: tiers[0].models = []: the tier has no model", "openai/gpt-4o-mini"],
    ),
    (
        "tier without models",
        'models = ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"]',
        "",
        ["line 12: tiers[0].models: is missing"],
    ),
    (
        "same tier twice",
        'name = "mid"',
        'name = "fast"',
        ['line 17: tiers[1].name = "fast": tiers[0] has this name already; rename'],
    ),
    ("tier named as an alias", 'name = "mid"', 'name = "auto"', ["line 17", "routing.aliases"]),
    ("tier with a slash", 'name = "mid"', 'name = "a/b"', ["line 17", "tiers[1].name", "rename"]),
    ("tier with a colon", 'name = "mid"', 'name = "a:b"', ["line 17", "tiers[1].name", "rename"]),
    ("tier without a name", 'name = "mid"', 'name = ""', ["line 17", "tiers[1].name", "rename"]),
    (
        "model without provider",
        '"openai/gpt-4o"]',
        '"gpt-4o"]',
        ['tiers[2].models[2] = "gpt-4o": must be "provider/model"'],
    ),
    (
        "model twice in a tier",
        '"openai/gpt-4o-mini"]',
        '"openai/gpt-4o"]',
        ["line 18: tiers[1].models[2]", "take it out"],
    ),
    ("params that are not ours to set", "reasoning_effort", "messages", ["params.messages"]),
    ("params without a JSON form", '"high"', "nan", ["params.reasoning_effort = nan", "JSON"]),
    ("max_tokens of nothing", "1024", "0", ["line 15: tiers[0].max_tokens = 0"]),
    (
        "negative price",
        "input = 0.0",
        "input = -0.5",
        ['line 52: prices."local/smollm2".input = -0.5: must be a number, 0 to'],
    ),
    ("price that is no number", "output = 0.0", "output = nan", ["line 53", "output = nan"]),
    ("infinite price", "output = 0.0", "output = inf", ["line 53", "output = inf"]),
    ("price beyond floats", "output = 0.0", "output = 0x1" + "0" * 400, ["line 53", "huge"]),
    ("price as text", "output = 0.0", 'output = "free"', ["line 53", '"free"', "a number"]),
    (
        "price without output",
        "output = 0.0",
        "",
        ['line 51: prices."local/smollm2".output', "miss"],
    ),
    ("price for nobody's model", '"local/smollm2"', '"lokal/smollm2"', ["line 51", '"local"?']),
    ("price without a model", '"local/smollm2"', '"local"', ["line 51", "prices.local"]),
    (
        "default is no tier",
        'default = "mid"',
        'default = "midd"',
        ['line 32: routing.signals.default = "midd"', "fast, mid, power", '"mid"?'],
    ),
    (
        "policy of another router",
        '"signals"',
        '"semantic"',
        ['line 26: routing.policy = "semantic": no such policy', "learned, signals, cascade"],
    ),
    ("policy misspelt", '"signals"', '"signal"', ["line 26", 'Did you mean "signals"?']),
    ("fixed without a tier", '"signals"', '"fixed"', ["line 26", "fixed"]),
    ("fixed to no tier", '"signals"', '"fixed:powr"', ["line 26", "fast, mid, power", '"power"?']),
    ("cascade with an argument", '"signals"', '"cascade:x"', ["line 26", "cascade:x"]),
    ("alias with a colon", '["auto"]', '["auto:x"]', ["line 27: routing.aliases[0]"]),
    (
        "base_url of another scheme",
        "http://127",
        "ftp://127",
        ['line 9: providers.local.base_url = "ftp://127.0.0.1:8081/v1": must begin with http://'],
    ),
    ("base_url without a scheme", "http://127", "127", ["line 9", "must begin with http://"]),
    ("base_url with a query", "8081/v1", "8081/v1?key=1", ["line 9", "query"]),
    ("base_url with a bad port", "8081/v1", "80810000/v1", ["line 9", "not a URL"]),
    ("base_url that opens a bracket", "127.0.0.1:8081", "[127", ["line 9", "not a URL"]),
    (
        "provider without base_url",
        'base_url = "http://127.0.0.1:8081/v1"',
        "",
        ["line 7: providers.local.base_url: is missing", 'no "local"'],
    ),
    ("unknown dialect", '"openai-chat"', '"openai-chatt"', ["line 8", '"openai-chat"?']),
    ("provider with a slash", "[providers.local]", '[providers."a/b"]', ["line 7", "rename"]),
    (
        "open host",
        'host = "127.0.0.1"',
        'host = "0.0.0.0"',
        ['line 2: server.host = "0.0.0.0"', "POINTSMAN_API_KEYS", "127.0.0.1"],
    ),
    ("ledger of no kind", "sqlite:///", "mysql://h/", ["ledger.url", "sqlite"]),
    (
        "ledger with two slashes",
        "sqlite:///",
        "sqlite://",
        ["ledger.url", "sqlite:///pointsman.db"],
    ),
    ("store of no kind", 'path = ""', 'store = "sqlit"', ["line 38", '"sqlite"?']),
    ("store without its file", 'path = ""', 'store = "sqlite"', ["line 38", "set cache.path"]),
    ("validator of nobody", "escalate = true", 'custom = ["mine"]', ["line 42", "custom[0]"]),
    (
        "tiers as one table",
        "[[tiers]]                             # cheapest",
        "[tiers]  #",
        ["pointsman.toml, line 16"],
    ),
    ("section as a value", "[cache]\nexact = true", "cache = 1\n[timeouts]", ["line 34: routing"]),
    ("syntax", "port = 4117", "port = = 4117", ["pointsman.toml, line 3: not valid TOML"]),
    ("syntax at the end", "cached_input = 0.0", "cached_input =", ["line 54: not valid TOML"]),
    (
        "same key twice, in a line",
        '"high"',
        f'"high", reasoning_effort = "{"x" * 5}"',
        ["pointsman.toml, line 22: not valid TOML"],
    ),
    ("same key twice", "port = 4117", 'host = "x"', ["line 3: not valid TOML"]),
]

SECRETS = [
    ("LOCAL_KEY", CANARY, "line 10: providers.local.api_key_env"),
    ("LOCAL_KEY", "0123456789abcdef0123456789abcdef", "line 10: providers.local.api_key_env"),
    ('api_key_env = "LOCAL_KEY"', f'api_key = "{CANARY}"', "line 10: providers.local.api_key ="),
    ('api_key_env = "LOCAL_KEY"', 'api_key = "hunter22"', "line 10: providers.local.api_key ="),
    ("architect", CANARY, "line 29: routing.signals.power[0]"),
    ("openai/gpt-4o-mini", f"openai/{CANARY}", "line 14: tiers[0].models[0]"),
    ("[providers.local]", f"[providers.{CANARY}]", "line 7: providers.(hidden)"),
    ("port = 4117", f"{CANARY} = 4117", "line 3: server.(hidden)"),
    ("http://127", "http://me:hunter22@127", "line 9: providers.local.base_url"),
    ("http://127", "http://hunter22@127", "line 9: providers.local.base_url"),
    ("sqlite:///", "postgres://me:hunter22@db/", "ledger.url"),
    ('"high"', f'"Bearer {CANARY}"', "line 22: tiers[2].models[0].params.reasoning_effort"),
    ("4117", f'"{CANARY}"', "line 3: server.port"),
]


def test_the_example_of_the_specification_loads():
    settings = parse_settings(SPEC, "pointsman.toml", ENV)
    assert [tier.name for tier in settings.tiers] == ["fast", "mid", "power"]
    assert settings.tiers[2].entries[0] == ModelSettings(
        "openai/gpt-5.4", params={"reasoning_effort": "high"}
    )
    assert settings.tiers[0].models == ("openai/gpt-4o-mini", "anthropic/claude-haiku-4-5")
    assert settings.providers["local"].api_key_env == "LOCAL_KEY"
    assert settings.prices["local/smollm2"].cached_input == 0
    assert settings.routing.signals.default == "mid"


def test_one_worker_serves_unless_more_are_stated():
    assert parse_settings(SPEC, "f", ENV).server.workers == 1
    more = replaced("port = 4117", "port = 4117\nworkers = 4")
    assert parse_settings(more, "f", ENV).server.workers == 4


@pytest.mark.parametrize(("old", "new", "told"), [it[1:] for it in BAD], ids=[it[0] for it in BAD])
def test_what_is_wrong_is_told(old: str, new: str, told: list[str]):
    message = message_of(replaced(old, new))
    assert message.startswith("pointsman.toml")
    for part in told:
        assert part in message


@pytest.mark.parametrize(("old", "new", "told"), SECRETS)
def test_a_secret_is_refused_and_never_shown(old: str, new: str, told: str):
    message = message_of(replaced(old, new), env={})
    assert told in message
    for secret in ("canary", "hunter22", "0123456789abcdef"):
        assert secret not in message.lower()


def test_a_key_in_place_of_its_variable_is_not_shown_where_its_provider_is_used():
    key = "0123456789abcdef0123456789abcdef"
    message = message_of(replaced('"openai/gpt-4o"]', '"local/x"]').replace("LOCAL_KEY", key))
    assert "line 10: providers.local.api_key_env: must be the name of" in message
    assert key not in message


def test_a_missing_variable_is_told_with_its_remedy():
    message = message_of(SPEC, env={"OPENAI_API_KEY": "o"})
    assert message == (
        'pointsman.toml, line 14: tiers[0].models[1] = "anthropic/claude-haiku-4-5":'
        ' ANTHROPIC_API_KEY is not set, and provider "anthropic" needs it;'
        " export ANTHROPIC_API_KEY=… or take the provider's models out of the tiers"
    )
    used = replaced('"openai/gpt-4o"]', '"local/x"]')
    assert "line 10: providers.local.api_key_env = " in message_of(used)
    assert "LOCAL_KEY is not set" in message_of(used)


def test_a_variable_is_needed_only_where_its_provider_is_used_and_takes_a_key():
    free = replaced('api_key_env = "LOCAL_KEY"', "").replace('"openai/gpt-4o"]', '"local/x"]')
    parse_settings(free, "f", ENV)
    none = SPEC.replace("[providers.anthropic]", '[providers.anthropic]\napi_key_env = ""')
    parse_settings(none, "f", {"OPENAI_API_KEY": "o"})
    parse_settings(SPEC, "f", {}, needs_keys=False)


def test_an_empty_variable_is_a_missing_one():
    assert "OPENAI_API_KEY is not set" in message_of(SPEC, env=ENV | {"OPENAI_API_KEY": ""})


def test_all_problems_are_told_in_the_order_of_the_file():
    text = SPEC.replace("port = 4117", "prot = 1").replace('"mid"\nmodels', '"fast"\nmodels')
    lines = message_of(text.replace('path = ""', 'path = ""\nttl = 5'), env={}).splitlines()
    assert [line.split(":")[0].removeprefix("pointsman.toml, line ") for line in lines] == [
        *("3", "14", "14", "17", "32", "39"),
    ]


def test_misfits_of_every_section_are_told_together():
    text = SPEC.replace("4117", '"x"').replace("86400", "0").replace("input = 0.0", "input = -1", 1)
    assert len(message_of(text).splitlines()) == 3


def at_host(host: str, ledger: Path | None = None) -> Settings:
    url = "sqlite://" if ledger is None else f"sqlite:///{ledger}"
    return Settings(server=ServerSettings(host=host), ledger=LedgerSettings(url=url))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_keys(host: str):
    check_exposure(at_host(host), {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "", "0"])
def test_an_open_address_needs_keys(host: str, tmp_path: Path):
    with pytest.raises(ConfigError, match="pointsman keys create"):
        check_exposure(at_host(host, tmp_path / "none.db"), {"POINTSMAN_API_KEYS": " "})
    assert not list(tmp_path.iterdir())
    check_exposure(at_host(host), {"POINTSMAN_API_KEYS": "k"})
    check_exposure(at_host(host), {"POINTSMAN_ADMIN_KEY": "k"})


def test_keys_beside_the_ledger_do_for_an_open_address_revoked_ones_too(tmp_path: Path):
    file = tmp_path / "l.db"
    SqliteKeys(str(file)).create("web", EVERYTHING, now_ns=1, expires_ns=None)
    check_exposure(at_host("0.0.0.0", file), {})
    SqliteKeys(str(file)).revoke("web", now_ns=2)
    check_exposure(at_host("0.0.0.0", file), {})
    file.write_bytes(b"noise" * 1000)
    with pytest.raises(ConfigError):
        check_exposure(at_host("0.0.0.0", file), {})


def test_a_file_without_tiers_takes_them_from_the_environment():
    settings = parse_settings("[server]\nport = 5000\n", "f", ENV)
    assert [tier.name for tier in settings.tiers] == ["fast", "mid", "power"]
    assert settings.server.port == 5000
    assert "pointsman init" in message_of("", env={})


def test_a_provider_of_the_catalogue_needs_no_table():
    text = '[[tiers]]\nname = "a"\nmodels = ["groq/openai/gpt-oss-20b"]'
    assert parse_settings(text, "f", {"GROQ_API_KEY": "g"}).tiers[0].name == "a"


def test_settings_made_in_python_are_checked_alike():
    tiers = (
        TierSettings("fast", ["openai/gpt-4o-mini"]),
        TierSettings("b", [ModelSettings("a/b")]),
    )
    with pytest.raises(ConfigError) as caught:
        check_settings(Settings(tiers=tiers, server=ServerSettings(port=0)), {})
    assert [line.split(":")[0] for line in caught.value.message.splitlines()] == ["server.port = 0"]
    with pytest.raises(ConfigError) as caught:
        check_settings(Settings(tiers=tiers), {})
    assert caught.value.message.startswith('tiers[1].models[0].model = "a/b": no provider "a"')
    local = {"a": ProviderSettings(base_url="http://127.0.0.1:1/v1")}
    check_settings(Settings(tiers=tiers, providers=local), {"OPENAI_API_KEY": "o"})


def test_params_that_are_no_data_are_a_config_error():
    entry = ModelSettings("openai/gpt-4o", params={"x": object()})
    with pytest.raises(ConfigError, match="params"):
        check_settings(Settings(tiers=(TierSettings("a", [entry]),)), ENV)


def test_a_text_in_place_of_the_models_is_a_config_error():
    with pytest.raises(ConfigError, match=r'tiers\[0\]\.models = "a/b": must be an array'):
        check_settings(Settings(tiers=(TierSettings("a", "a/b"),)), ENV)


def test_a_tier_is_made_from_a_name_and_models_alone():
    assert TierSettings("fast", ["a/b"]) == TierSettings(name="fast", models=("a/b",))
    assert TierSettings("fast", ["a/b"]).max_tokens is None


# Finding the file


@pytest.fixture
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "pointsman.config.load.platformdirs.user_config_path",
        lambda name, appauthor: tmp_path / "user" / name,
    )
    return tmp_path


def test_the_file_is_looked_for_in_order(empty_place: Path):
    user = empty_place / "user" / "pointsman" / "pointsman.toml"
    for file in (user, empty_place / "env.toml", empty_place / "named.toml"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    env = {"POINTSMAN_CONFIG": "env.toml"}
    assert find_config("named.toml", env) == Path("named.toml")
    assert find_config(None, env) == Path("env.toml")
    assert find_config(None, {}) == user
    (empty_place / "pointsman.toml").write_text("")
    assert find_config(None, {}) == Path("pointsman.toml")


def test_a_named_file_that_is_not_there_is_an_error(empty_place: Path):
    with pytest.raises(ConfigError, match=r"no\.toml: --config names this file"):
        load_settings("no.toml", ENV)
    with pytest.raises(ConfigError, match=r"no\.toml: \$POINTSMAN_CONFIG names this file"):
        load_settings(None, ENV | {"POINTSMAN_CONFIG": "no.toml"})


def test_without_a_file_the_environment_decides(empty_place: Path):
    assert load_settings(None, ENV).tiers[0].models[0] == "openai/gpt-6-luna"
    with pytest.raises(ConfigError, match=r"pointsman init.*pointsman demo"):
        load_settings(None, {})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a = 1\nb = \xff", "line 2: is not UTF-8"),
        (b"\xef\xbb\xbfa = 1", "line 1: not valid TOML"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a." * 1_000 + b"b = 1", "nested too deeply"),
        (b"[" + b"a." * 100 + b"b]", "nested too deeply"),
        (b"#" * 256_001, "is over 256000 bytes"),
    ],
    ids=["not UTF-8", "byte order mark", "deep", "deep keys", "deep table", "large"],
)
def test_a_file_that_is_no_configuration_is_refused(empty_place: Path, content: bytes, told: str):
    Path("pointsman.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        load_settings(None, ENV)


# Mutations

WORDS = (
    *("[", "]", "{", "}", '"', "'", "=", ",", ".", "#", "\n", "\\", '"""', "\x00", "é"),
    *("nan", "-1", "true", "0x", "1979-05-27", "[[tiers]]", "[server]", "fast", "openai/", "*"),
)


@hypothesis_settings(max_examples=300)
@given(seed=st.integers(0, 2**32), rounds=st.integers(1, 6))
def test_a_mutated_file_loads_or_is_a_config_error(seed: int, rounds: int):
    text, rng = SPEC, random.Random(seed)
    for _ in range(rounds):
        text = mutated(text, rng)
    try:
        settings = parse_settings(text, "pointsman.toml", ENV)
    except ConfigError as error:
        told = error.message.splitlines()
    else:
        told = []
        check_settings(settings, ENV)
    assert all(line.startswith("pointsman.toml") for line in told)


TOML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(value=TOML_VALUES, section=st.sampled_from(["server", "tiers", "prices", "routing"]))
def test_settings_of_any_shape_are_good_or_a_config_error(value: object, section: str):
    settings, problems = read_struct({section: value}, Settings)
    assert settings is not None or problems


def mutated(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    match rng.randrange(4):
        case 0:
            return text[:at] + rng.choice(WORDS) + text[at:]
        case 1:
            return text[:at] + text[at + rng.randrange(1, 20) :]
        case 2:
            lines = text.split("\n")
            rng.shuffle(lines)
            return "\n".join(lines)
        case _:
            tokens = text.split(" ")
            tokens[rng.randrange(len(tokens))] = rng.choice(WORDS)
            return " ".join(tokens)


def replaced(old: str, new: str) -> str:
    assert old in SPEC
    return SPEC.replace(old, new, 1)


def message_of(text: str, env: dict[str, str] = ENV) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, "pointsman.toml", env)
    return caught.value.message


def test_the_specifications_routing_is_read():
    text = SPEC.replace('"signals"', '"learned"').replace(
        'aliases = ["auto"]', 'quality_floor = 0.9\naliases = ["auto"]'
    )
    routing = parse_settings(text, "f", ENV).routing
    assert (routing.policy, routing.quality_floor) == ("learned", 0.9)
    assert routing.signals.power is not None and "architect" in routing.signals.power


def test_routing_defaults_are_the_documented_ones():
    assert RoutingSettings().policy == "learned"
    assert RoutingSettings().quality_floor == 0.95
    assert RoutingSettings().aliases == ("auto",)


def test_a_client_that_is_not_installed_is_told_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
):
    text = f'{SPEC}\n[upstream]\nhttp_client = "aiohttp"\n'
    assert parse_settings(text, "f", ENV).upstream.http_client == "aiohttp"
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=r"upstream\.http_client = .*'pointsman\[aiohttp\]'"):
        parse_settings(text, "f", ENV)
    assert parse_settings(SPEC, "f", ENV).upstream.http_client == "own"
