"""Input bound: the most input tokens that a deployment may charge a request for.

The estimate reads text. What images, files and references come to, it does not see: a budget holds
what the provider's own page allows them at most, else as much as the model's window takes.
"""

import re

from pointsman.core.types import Deployment, Features

# Tokens of one image at most, whatever its size, which the provider scales down. Source:
# developers.openai.com/api/docs/guides/images-vision ("Calculating costs"): base and 8 tiles of 512
# pixels, which is 768 x 2048, or 1,536 patches by the model's factor. GPT-5.6 takes an image of any
# size as it is, and for others than these no factor is stated. Read 2026-11-23, as stored publicly.
_OPENAI_IMAGE = {
    "gpt-4o": 85 + 8 * 170,
    "gpt-4.1": 85 + 8 * 170,
    "gpt-4o-mini": 2_833 + 8 * 5_667,
    "gpt-5": 70 + 8 * 140,
    "gpt-5-chat-latest": 70 + 8 * 140,
    "o1": 75 + 8 * 150,
    "o1-pro": 75 + 8 * 150,
    "o3": 75 + 8 * 150,
    "gpt-4.1-mini": 2_489,  # 1,536 x 1.62
    "gpt-5-mini": 2_489,
    "gpt-5.4-mini": 2_489,
    "gpt-4.1-nano": 3_779,  # 1,536 x 2.46
    "gpt-5-nano": 3_779,
    "gpt-5.4-nano": 3_779,
    "o4-mini": 2_642,  # 1,536 x 1.72
}
# Source: platform.claude.com/docs/en/build-with-claude/vision (4,784 from Claude 4.7 on, 1,568
# before) and ai.google.dev/gemini-api/docs/media-resolution (ULTRA_HIGH), read 2026-11-23.
_CLAUDE_IMAGE = 4_784
_GEMINI_3_IMAGE = 2_240

_DATE = re.compile(r"-\d{4}-\d\d-\d\d$")


def input_bound(features: Features, deployment: Deployment) -> int | None:
    """Return the most input tokens of a request at a deployment, None for not known.

    Of text it is the estimate. It is never less than that, whatever window is stated.
    """
    if not (features.images or features.hidden_tokens_max or features.has_unsized):
        return features.input_tokens
    window = deployment.capability.context_tokens
    image_tokens = image_tokens_max(deployment.model) if features.images else 0
    if features.has_unsized or image_tokens is None:
        return None if window is None else max(window, features.input_tokens)
    more = features.images * image_tokens + features.hidden_tokens_max
    bound = features.input_tokens + more
    return bound if window is None else max(features.input_tokens, min(bound, window))


def image_tokens_max(model: str) -> int | None:
    """Return the most tokens that one image has for a model, None where no page says it.

    `model` is the provider's own name for it, which may begin with its maker's.
    """
    name = model.rpartition("/")[2]
    if "claude" in name:
        return _CLAUDE_IMAGE
    if name.startswith("gemini-3"):
        return _GEMINI_3_IMAGE
    return _OPENAI_IMAGE.get(_DATE.sub("", name))
