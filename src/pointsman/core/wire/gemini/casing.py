"""Casing: fields in snake_case, which Google takes as well, in camelCase.

google-genai mixes both: it writes `functionDeclarations` and in it `parameters_json_schema`.
Source: ProtoJSON ("parsers accept both the lowerCamelCase name and the original proto field name",
protobuf.dev/programming-guides/json, read 2026-11-23); the names are those of google-genai 3.4.
"""

import re

import msgspec

# What routing and edits of the body look for.
_STRUCTURE = """
    system_instruction generation_config tool_config cached_content continuation_token service_tier
    inline_data file_data function_call function_response thought_signature executable_code
    code_execution_result tool_call tool_response function_declarations max_output_tokens
    candidate_count response_mime_type response_schema response_json_schema response_logprobs
    response_modalities thinking_config
"""
# What a translation reads besides.
_DETAILS = """
    safety_settings mime_type file_uri display_name video_metadata media_resolution part_metadata
    parameters_json_schema function_calling_config allowed_function_names retrieval_config
    stop_sequences presence_penalty frequency_penalty thinking_budget thinking_level
    include_thoughts top_p top_k google_search google_search_retrieval google_maps url_context
    code_execution file_search computer_use mcp_servers speech_config image_config
"""
_CAMEL = {
    name: re.sub("_(.)", lambda match: match[1].upper(), name)
    for name in re.findall(r"\w+", _STRUCTURE + _DETAILS)
}
# What stands in these is the client's own: its names are not ours to change.
_OPAQUE = frozenset(
    re.findall(
        r"\w+",
        "args response parameters parametersJsonSchema responseSchema responseJsonSchema labels"
        " partMetadata",
    )
)
# The look ahead passes over most other names at once. A letter or "_" that is escaped, which nobody
# has to, may hide such a name from us and not from Google: a bound, say, beside the one read here.
_ANY = re.compile(
    rb'"(?=[a-z]{3,12}_)(?:%b)"\s*:|\\u00(?:5[fF]|6[1-9a-fA-F]|7[0-9aA])'
    % "|".join(re.findall(r"\w+", _STRUCTURE)).encode()
)


def in_camel_case(body: bytes) -> bytes:
    """Return the body as it is where its structure is in camelCase, else written anew so.

    Raises msgspec.DecodeError for no JSON.
    """
    if _ANY.search(body) is None:
        return body
    return msgspec.json.encode(renamed(msgspec.json.decode(body)))


def renamed(value: object) -> object:
    """Return a body's JSON with every known name in camelCase.

    Arguments, schemas and labels keep their names.
    """
    if isinstance(value, list):
        return [renamed(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    named = ((_CAMEL.get(name, name), entry) for name, entry in value.items())
    return {name: entry if name in _OPAQUE else renamed(entry) for name, entry in named}
