"""JSON format: an answer that is not the JSON the client asked for."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import msgspec

from pointsman.validators.draft import Ask, Draft, is_cut_by_client, short_reason
from pointsman.validators.schema_cost import Json, depth_of, visits

if TYPE_CHECKING:
    import jsonschema_rs

_SCHEMA_BYTES_MAX = 128 * 1024
_SCHEMAS_KEPT = 64
# Visits of the schema times characters of the answer. At about 30 ns a visit this is a second at
# the very worst; an ordinary schema (50 visits) is judged for answers of up to 1 MB.
_CHECK_COST_MAX = 50_000_000
# Naming what is wrong costs a thousand times more than finding that something is.
_NAME_COST_MAX = 200_000
# For patterns: a client's `a{1000}{1000}` must not fill the memory.
_REGEX_BYTES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """Rejects text that is no JSON, or breaks the schema, where the client asked for JSON.

    JSON inside a Markdown fence is rejected: whoever asks for JSON hands the text to a parser.
    A schema that is invalid, refers outside itself, needs a backtracking pattern or would cost too
    much rejects nothing by itself; then parsing is all that is asked. `format` is an annotation,
    as in JSON Schema 2020-12.
    """

    name: ClassVar[str] = "json_format"

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return a reason when the client's own parser would fail, or its schema."""
        wanted = ask.response_format
        if wanted is None or not draft.is_whole or draft.tool_calls or is_cut_by_client(draft, ask):
            return ""
        try:
            value: Json = msgspec.json.decode(draft.text.strip())
        except (RecursionError, msgspec.ValidationError):
            return ""  # deeper or larger in number than we can read: JSON all the same
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            fence = " but in a fence" if draft.text.lstrip().startswith("```") else ""
            return short_reason(f"JSON was asked for{fence}; this does not parse: {error}")
        return _breach(value, wanted.schema, len(draft.text)) if wanted.schema else ""


def _breach(value: Json, schema: bytes, chars: int) -> str:
    compiled = compile_schema(schema)
    if compiled is None:
        return ""
    validator, document = compiled
    cost = visits(document, depth_of(value)) * (chars + 1)
    if cost > _CHECK_COST_MAX or validator.is_valid(value):
        return ""
    if cost > _NAME_COST_MAX:
        return "the JSON does not meet the schema that was asked for"
    error = next(iter(validator.iter_errors(value)))
    place = "".join(f"[{it}]" if isinstance(it, int) else f".{it}" for it in error.instance_path)
    return short_reason(f"the JSON does not meet the schema: ${place}: {error.message}")


@lru_cache(maxsize=_SCHEMAS_KEPT)
def compile_schema(schema: bytes) -> "tuple[jsonschema_rs.Validator, Json] | None":
    """Return a schema ready for use and as data, None where it cannot be used.

    Nothing is ever fetched: `offline` refuses every reference out of the document.
    """
    import jsonschema_rs

    if len(schema) > _SCHEMA_BYTES_MAX:
        return None
    try:
        document: Json = msgspec.json.decode(schema)
        if visits(document, 1) > _CHECK_COST_MAX:
            return None
        validator = jsonschema_rs.validator_for(
            schema.decode(),
            offline=True,
            mask="the value",
            validate_formats=False,
            pattern_options=jsonschema_rs.RegexOptions(
                size_limit=_REGEX_BYTES_MAX, dfa_size_limit=_REGEX_BYTES_MAX
            ),
        )
    except (ValueError, RecursionError):  # not JSON, not a schema, a pattern, a reference
        return None
    return validator, document
