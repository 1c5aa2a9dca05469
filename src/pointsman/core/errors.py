"""Errors: one tree. Each class says its HTTP status, its code, and whether another try may help.

GatewayError
├── RequestError                400 invalid_request
│   ├── ModelNotFound           404 model_not_found
│   ├── NoCapableModel          400 no_capable_model
│   ├── Unauthorized            401 invalid_api_key
│   ├── Forbidden               403 forbidden
│   │   └── OriginRefused       403 origin_refused
│   ├── RouteNotFound           404 route_not_found
│   ├── UnknownRequest          404 unknown_request
│   ├── UnknownEntry            404 unknown_entry
│   ├── MethodNotAllowed        405 method_not_allowed
│   ├── RequestTimeout          408 request_timeout
│   ├── RequestTooLarge         413 request_too_large
│   ├── UnsupportedMedia        415 unsupported_media_type
│   ├── IdempotencyInFlight     409 idempotency_in_flight
│   ├── IdempotencyReused       422 idempotency_key_reused
│   ├── RateLimited             429 rate_limited
│   └── BudgetExceeded          429 budget_exceeded
│       └── QuotaExceeded       429 budget_exceeded
├── ConfigError                 500 config_invalid (stops the start)
├── Overloaded                  503 overloaded
├── Draining                    503 draining
├── NotCached                   504 not_cached
├── CacheUnavailable            503 cache_unavailable
├── AuthUnavailable             503 auth_unavailable
├── LedgerUnavailable           503 ledger_unavailable
├── AllTargetsFailed            503 all_targets_failed
└── UpstreamError               502 (an attempt failed)
    ├── UpstreamRateLimited     429 upstream_rate_limited
    ├── UpstreamUnavailable     503 upstream_unavailable
    ├── UpstreamConnect         502 upstream_connect
    ├── UpstreamAuth            502 upstream_auth
    ├── UpstreamModelMissing    502 upstream_model_missing
    ├── UpstreamTimeout         504 upstream_timeout
    ├── UpstreamBadResponse     502 upstream_bad_response
    ├── UpstreamTooLarge        502 upstream_too_large
    ├── UpstreamReset           502 upstream_reset
    └── UpstreamRejected        the upstream's own 4xx, relayed
        └── ContextLengthExceeded  400 context_length_exceeded

Only a dialect's codec turns these into an error body. The retry rules are FAULTS' rows 1 to 16.
"""

from typing import ClassVar, Literal, TypeAlias

import msgspec

Remedy: TypeAlias = Literal["none", "same", "next", "larger"]


class AttemptReport(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as an error tells it: what was called and what came of it."""

    deployment: str
    outcome: str
    latency_ms: int


class GatewayError(Exception):
    """Whatever pointsman refuses or fails at. The message names the thing, value and remedy.

    `retry_after_s`: when another try may help, None for not known. `attempts`: the upstream calls
    made for the request, filled in where the chain gives up. `param`: the field at fault.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = "server_error"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.param = param
        self.attempts: tuple[AttemptReport, ...] = ()

    @property
    def http_status(self) -> int:
        """Return the status the client sees."""
        return self.status

    @property
    def is_client_retry_useful(self) -> bool:
        """Return whether the client's own retry may help: our chain has not been spent."""
        return False


class RequestError(GatewayError):
    """The request itself is at fault; nothing was called."""

    status = 400
    code = "invalid_request"
    kind = "invalid_request_error"


class ModelNotFound(RequestError):
    """No alias, tier or model has the name that was asked for."""

    status = 404
    code = "model_not_found"


class NoCapableModel(RequestError):
    """No configured model meets a need of the request."""

    code = "no_capable_model"


class Unauthorized(RequestError):
    """The bearer key is missing or not one of ours."""

    status = 401
    code = "invalid_api_key"
    kind = "authentication_error"


class Forbidden(RequestError):
    """The key is known, and may not do this."""

    status = 403
    code = "forbidden"
    kind = "permission_error"


class OriginRefused(Forbidden):
    """A web page that is not let in sent this, or it came under a name that is not this host's."""

    code = "origin_refused"


class RouteNotFound(RequestError):
    """No route has this path."""

    status = 404
    code = "route_not_found"


class UnknownRequest(RequestError):
    """The ledger has no request of this id and tenant."""

    status = 404
    code = "unknown_request"


class UnknownEntry(RequestError):
    """The cache has no entry of this id and tenant."""

    status = 404
    code = "unknown_entry"


class MethodNotAllowed(RequestError):
    """The route exists, for the methods `allowed`."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class RequestTimeout(RequestError):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"


class RequestTooLarge(RequestError):
    """The body is over the limit."""

    status = 413
    code = "request_too_large"


class UnsupportedMedia(RequestError):
    """The body is encoded in a way that is not taken."""

    status = 415
    code = "unsupported_media_type"


class IdempotencyInFlight(RequestError):
    """The first request with this Idempotency-Key has not ended yet."""

    status = 409
    code = "idempotency_in_flight"

    @property
    def is_client_retry_useful(self) -> bool:
        """Return True: its outcome will be there."""
        return True


class IdempotencyReused(RequestError):
    """Another request had this Idempotency-Key before."""

    status = 422
    code = "idempotency_key_reused"


class RateLimited(RequestError):
    """The key has used up its requests or tokens of this minute, or has too many in flight."""

    status = 429
    code = "rate_limited"
    kind = "rate_limit_error"

    @property
    def is_client_retry_useful(self) -> bool:
        """Return True: nothing was tried, and time alone helps."""
        return True


class BudgetExceeded(RequestError):
    """What the request may cost at most does not fit what is left of a budget.

    `scope`, `window` and `left_nanousd` are of the tightest one; "" and 0 where nobody knows what
    the request may cost at most.
    """

    status = 429
    code = "budget_exceeded"
    kind = "rate_limit_error"

    def __init__(
        self, message: str, *, scope: str = "", window: str = "", left_nanousd: int = 0
    ) -> None:
        super().__init__(message)
        self.scope = scope
        self.window = window
        self.left_nanousd = left_nanousd


class QuotaExceeded(BudgetExceeded):
    """The key has made as many calls of a tier as it may make in a day."""


class ConfigError(GatewayError):
    """The configuration cannot be used: says file, line, key, value and remedy."""

    code = "config_invalid"


class Overloaded(GatewayError):
    """Too much is in flight here; the same request may pass in a moment."""

    status = 503
    code = "overloaded"

    @property
    def is_client_retry_useful(self) -> bool:
        """Return True: nothing was tried."""
        return True


class Draining(Overloaded):
    """The server is stopping and takes nothing new."""

    code = "draining"


class NotCached(GatewayError):
    """Only a kept answer was wanted, and there is none. Source: RFC 9111, section 5.2.1.7."""

    status = 504
    code = "not_cached"


class CacheUnavailable(GatewayError):
    """The cache's file does not take what has to be in it."""

    status = 503
    code = "cache_unavailable"


class AuthUnavailable(GatewayError):
    """Whose key it is cannot be looked up now. It may be a good one, so this is never a 401."""

    status = 503
    code = "auth_unavailable"

    @property
    def is_client_retry_useful(self) -> bool:
        """Return True: nothing was tried."""
        return True


class LedgerUnavailable(GatewayError):
    """The ledger cannot take an intent, so nothing billable may be called."""

    status = 503
    code = "ledger_unavailable"


class AllTargetsFailed(GatewayError):
    """Every deployment of the plan failed, each in its own way, or is in cooldown."""

    status = 503
    code = "all_targets_failed"


class UpstreamError(GatewayError):
    """One attempt failed.

    `remedy`: "same" may be retried once on the same deployment, then goes to the next; "next" goes
    to the next at once; "larger" only to deployments with a larger context window; "none" ends.
    `may_have_billed`: the upstream may charge for it although no usage came.
    """

    status = 502
    code = "upstream_error"
    kind = "upstream_error"
    remedy: ClassVar[Remedy] = "next"
    may_have_billed: ClassVar[bool] = False


class UpstreamRateLimited(UpstreamError):
    """429. With a Retry-After the deployment rests until then; without, one retry."""

    status = 429
    code = "upstream_rate_limited"
    kind = "rate_limit_error"
    remedy = "same"


class UpstreamUnavailable(UpstreamError):
    """500, 502, 503, 504 or 529."""

    status = 503
    code = "upstream_unavailable"
    remedy = "same"
    may_have_billed = True


class UpstreamConnect(UpstreamError):
    """Refused, no such host, TLS failed, or a redirect: nothing there has served the request."""

    code = "upstream_connect"


class UpstreamAuth(UpstreamError):
    """401, 402 or 403, or a spend limit: our key or account is at fault, not the client's."""

    code = "upstream_auth"


class UpstreamModelMissing(UpstreamError):
    """404: the provider does not have this model."""

    code = "upstream_model_missing"


class UpstreamTimeout(UpstreamError):
    """Nothing came within the limit."""

    status = 504
    code = "upstream_timeout"
    may_have_billed = True


class UpstreamBadResponse(UpstreamError):
    """The reply cannot be read: not JSON, cut off, or of the wrong type."""

    code = "upstream_bad_response"
    remedy = "same"
    may_have_billed = True


class UpstreamTooLarge(UpstreamError):
    """The reply is over the limit."""

    code = "upstream_too_large"
    remedy = "none"
    may_have_billed = True


class UpstreamReset(UpstreamError):
    """The connection broke off while the answer was coming."""

    code = "upstream_reset"
    remedy = "same"
    may_have_billed = True


class UpstreamRejected(UpstreamError):
    """The upstream says the request is at fault: relayed with its status and body, never retried.

    `body` is the upstream's own error body.
    """

    code = "upstream_rejected"
    kind = "invalid_request_error"
    remedy: ClassVar[Remedy] = "none"

    def __init__(self, message: str, *, status: int, body: bytes) -> None:
        super().__init__(message)
        self.relayed_status = status
        self.body = body

    @property
    def http_status(self) -> int:
        """Return the upstream's own status."""
        return self.relayed_status


class ContextLengthExceeded(UpstreamRejected):
    """The prompt does not fit this model; a larger window may take it."""

    status = 400
    code = "context_length_exceeded"
    remedy = "larger"
