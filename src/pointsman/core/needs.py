"""Needs: what a request asks of a model that not every model has."""

from enum import StrEnum


class Need(StrEnum):
    """Something a request asks of a model that not every model has."""

    IMAGES = "images"
    TOOLS = "tools"
    JSON_SCHEMA = "json_schema"
    # What some dialects have no word for: see `Codec.lacks`.
    FILES = "files"
    AUDIO = "audio"
    CHOICES = "several choices"
    LOGPROBS = "log probabilities"
    HOSTED_TOOLS = "tools that the provider runs"
    OFFERED_TOOLS = "tools that the provider may run"
    STORED_FILES = "files kept by the provider"
    EMBEDDINGS = "embeddings"


# Needs that are met where somebody can, and dropped by name where nobody can: the model may search
# the web, say, and has other tools as well.
SOFT_NEEDS = frozenset({Need.OFFERED_TOOLS})
