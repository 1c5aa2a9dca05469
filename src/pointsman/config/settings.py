"""Settings: the shape of `pointsman.toml`. What each key means and may hold stands in `keys.py`."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from pointsman.audit.settings import AuditSettings
from pointsman.budgets import BudgetSettings
from pointsman.cache import CacheSettings
from pointsman.gate import HedgingSettings
from pointsman.ledger import LedgerSettings
from pointsman.policies import Goal, SignalSettings
from pointsman.providers import Timeouts
from pointsman.providers.transport import HttpClient
from pointsman.validators import ValidationSettings


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the server listens, who may call it, how much it takes on, and what it says of that.

    `hosts` and `origins`: see `server.origins`.
    """

    host: str = "127.0.0.1"
    port: int = 4117
    workers: int = 1
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    in_flight_max: int = 5_000
    wait_max_s: float = 0.02
    connections_max: int = 10_000
    log_requests: bool = True


class UpstreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How upstreams are called."""

    http_client: HttpClient = "own"


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who serves models. None: as the catalogue has it. `api_key_env` "" says: no key.

    `headers` are sent besides the catalogue's, and in place of those of the same name. `kind` ""
    calls over HTTP; else it names an entry point of the group `pointsman.providers`.
    """

    dialect: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    auth_header: str | None = None
    headers: Mapping[str, str] = {}
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    private: bool = False
    prompt_cache: Literal["off", "mark"] = "off"
    kind: str = ""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of a tier, `provider/model`. None: as the catalogue has it.

    `params` are body fields that are always sent; they replace what the client sent.
    """

    model: str
    params: Mapping[str, object] = {}
    context_tokens: int | None = None
    images: bool | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    first_byte_s: float | None = None


class TierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Models of like quality and price: the primary, then its fallback chain.

    `max_tokens` is sent where the client sets none; None sends none.
    """

    name: str
    models: Sequence[str | ModelSettings]
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.models, list):
            msgspec.structs.force_setattr(self, "models", tuple(self.models))

    @property
    def entries(self) -> tuple[ModelSettings, ...]:
        """Return the models, those given by name alone included."""
        return tuple(
            ModelSettings(entry) if isinstance(entry, str) else entry for entry in self.models
        )


class TierBounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tiers that one client key may use, both ends included; "" sets no bound."""

    tier_min: str = ""
    tier_max: str = ""


class RoutingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who picks the tier, how much quality it keeps, and for which model names.

    `goal`, `quality_floor` and `quality_usd`: see `policies.PolicySettings`. `confidence`: of the
    certificates that `pointsman train` makes. `scorer`: the file it installs; none there, or "", is
    the scorer of the package.
    """

    policy: str = "learned"
    quality_floor: float = 0.95
    confidence: float = 0.9
    goal: Goal = "floor"
    quality_usd: float = 0.01
    scorer: str = "pointsman.scorer.json"
    aliases: tuple[str, ...] = ("auto",)
    signals: SignalSettings = SignalSettings()
    bounds: Mapping[str, TierBounds] = {}


class PriceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price in USD per million tokens. None: billed as input; `reasoning` as output, and
    `long_cache_write` as `cache_write`.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    long_cache_write: float | None = None
    reasoning: float | None = None


class EmbeddingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`models`: `provider/model`, those of one bare name in the order in which they are tried."""

    models: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration. `tiers` go from cheapest to strongest."""

    server: ServerSettings = ServerSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    providers: Mapping[str, ProviderSettings] = {}
    tiers: tuple[TierSettings, ...] = ()
    routing: RoutingSettings = RoutingSettings()
    cache: CacheSettings = CacheSettings()
    validation: ValidationSettings = ValidationSettings()
    audit: AuditSettings = AuditSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    timeouts: Timeouts = Timeouts()
    hedging: HedgingSettings = HedgingSettings()
    budgets: BudgetSettings = BudgetSettings()
    ledger: LedgerSettings = LedgerSettings()
    prices: Mapping[str, PriceSettings] = {}


def split_model(name: str) -> tuple[str, str]:
    """Return provider and model of `provider/model`; either is "" where it is missing."""
    provider, _, model = name.partition("/")
    return provider, model
