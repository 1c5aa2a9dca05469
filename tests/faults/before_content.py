"""Faults before any content has come: rows 1 to 7, 9, 10, 13, 15 and 16, as data."""

from tests.faults import behaviours as does
from tests.faults import upstream as up
from tests.faults.cells import Case, Fault, P, Z

STREAM, WHOLE = ("stream",), ("whole",)
NO_STREAM = "a whole reply is no event stream"
NO_WHOLE = "a stream is not read as one body"
NO_CREDIT = "Your credit balance is too low to access the API."
FILTERED = "The response was filtered by the content management policy."
TOO_LONG = "prompt is too long: this model's maximum context length is 4096 tokens."

FAULTS = (
    Fault(
        1, "429 with a far Retry-After", does.fails(429, Retry_After="120"),
        429, "upstream_rate_limited", 1, Z, retry_after_s=120, rests=True,
    ),
    Fault(2, "429 without", does.fails(429), 429, "upstream_rate_limited", 2, Z, retry_after_s=1),
    Fault(
        2, "429 of a spent quota", does.fails(429, "You exceeded your quota: billing."),
        502, "upstream_auth", 1, Z, rests=True,
    ),
    Fault(
        2, "400 of a spent account", does.fails(400, NO_CREDIT),
        502, "upstream_auth", 1, Z, rests=True,
    ),
    *(
        Fault(3, str(status), does.fails(status), 503, "upstream_unavailable", 2, P)
        for status in (500, 502, 503, 504, 529)
    ),
    *(
        Fault(5, str(status), does.fails(status), status, "upstream_rejected", 1, Z, is_final=True)
        for status in (400, 413, 422)
    ),
    Fault(6, "401", does.fails(401), 502, "upstream_auth", 1, Z, rests=True),
    Fault(6, "403", does.fails(403), 502, "upstream_auth", 1, Z, rests=True),
    Fault(6, "404", does.fails(404), 502, "upstream_model_missing", 1, Z, rests=True),
    Fault(7, "silent", up.hang, 504, "upstream_timeout", 1, P, was_cut=True),
    Fault(
        7, "silent after the headers", up.then_hang(does.OK_HEAD, b"{"),
        504, "upstream_timeout", 1, P, was_cut=True,
    ),
    Fault(
        7, "nothing but pings", up.then_ping(), 504, "upstream_timeout", 1, P, was_cut=True,
        modes=STREAM, why_not=NO_STREAM,
    ),
    Fault(9, "reset at once", up.reset, 502, "upstream_reset", 2, P),
    Fault(9, "closed at once", up.then_close(), 502, "upstream_reset", 2, P),
    Fault(
        9, "closed in the body", up.then_close(does.OK_HEAD, b'{"id":'),
        502, "upstream_reset", 2, P,
    ),
    Fault(
        9, "a stream without events", up.stream(), 502, "upstream_reset", 2, P,
        modes=STREAM, why_not=NO_STREAM,
    ),
    Fault(10, "half a body", does.truncates, 502, "upstream_bad_response", 2, P),
    Fault(10, "no JSON", up.reply(200, b"oops"), 502, "upstream_bad_response", 2, P),
    Fault(10, "other JSON", up.reply(200, b'{"ok":true}'), 502, "upstream_bad_response", 2, P),
    Fault(
        10, "an event that is no JSON", up.stream(b"data: {nope\n\n"),
        502, "upstream_bad_response", 2, P,
    ),
    Fault(10, "HTML", up.reply(200, b"<p>hi", "text/html"), 502, "upstream_bad_response", 2, P),
    Fault(
        10, "a redirect", up.reply(302, b"", Location="http://127.0.0.1:1/"),
        502, "upstream_connect", 1, Z,
    ),
    Fault(
        10, "no HTTP", up.then_close(b"SSH-2.0\r\n\r\n"), 502, "upstream_bad_response", 2, P
    ),
    Fault(
        13, "overloaded, before content", does.fails_inside(503, after_content=False),
        503, "upstream_unavailable", 2, P,
    ),
    Fault(
        13, "rate limited, before content", does.fails_inside(429, after_content=False),
        429, "upstream_rate_limited", 2, Z, retry_after_s=1,
    ),
    Fault(
        15, "a filter's 400", does.fails(400, FILTERED, "content_filter"),
        400, "upstream_rejected", 1, Z, is_final=True,
    ),
)  # fmt: skip
CASES: tuple[Case, ...] = tuple(case for fault in FAULTS for case in fault.cases())
