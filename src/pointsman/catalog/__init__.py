"""Catalogue: dated, sourced facts about providers and models, shipped with the package."""

from pointsman.catalog.models import (
    ModelRow,
    Source,
    capability,
    model_rows,
    model_sources,
)
from pointsman.catalog.prices import ListPrice, find_list_price
from pointsman.catalog.providers import (
    AUTH_HEADERS,
    ProviderRow,
    Way,
    filled_url,
    is_url_part,
    provider_row,
    provider_rows,
    url_variables,
)

__all__ = [
    "AUTH_HEADERS",
    "ListPrice",
    "ModelRow",
    "ProviderRow",
    "Source",
    "Way",
    "capability",
    "filled_url",
    "find_list_price",
    "is_url_part",
    "model_rows",
    "model_sources",
    "provider_row",
    "provider_rows",
    "url_variables",
]
