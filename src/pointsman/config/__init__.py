"""Configuration: `pointsman.toml`, found, read, checked, and explained where it is wrong."""

from pointsman.access.environment import API_KEYS_ENV
from pointsman.config.dialects import key_variable, provider_way, upstream_dialects
from pointsman.config.environment import settings_from_environment
from pointsman.config.load import (
    CONFIG_ENV,
    FILE_NAME,
    check_settings,
    find_config,
    load_settings,
    parse_settings,
)
from pointsman.config.rules import check_exposure, check_workers
from pointsman.config.settings import (
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    RoutingSettings,
    ServerSettings,
    Settings,
    TierBounds,
    TierSettings,
    split_model,
)

__all__ = [
    "API_KEYS_ENV",
    "CONFIG_ENV",
    "FILE_NAME",
    "ModelSettings",
    "PriceSettings",
    "ProviderSettings",
    "RoutingSettings",
    "ServerSettings",
    "Settings",
    "TierBounds",
    "TierSettings",
    "check_exposure",
    "check_settings",
    "check_workers",
    "find_config",
    "key_variable",
    "load_settings",
    "parse_settings",
    "provider_way",
    "settings_from_environment",
    "split_model",
    "upstream_dialects",
]
