"""Every code that ingest answers with: its HTTP status and its sentence, which quote nobody."""

from collections.abc import Mapping
from typing import Literal

EventCode = Literal[
    "payload_too_large",
    "too_many_events",
    "not_an_object",
    "event_too_large",
    "nesting_too_deep",
    "too_many_properties",
    "invalid_type",
    "id_not_string",
    "id_too_long",
    "name_too_long",
    "no_user_anon_id",
    "event_not_defined",
    "event_not_string",
    "properties_not_object",
    "traits_not_object",
    "name_not_string",
    "category_not_string",
    "group_id_required",
    "previous_id_required",
    "context_not_object",
    "integrations_not_object",
    "consent_categorypreferences_should_exist",
    "consent_categorypreferences_fields_should_be_object",
    "consent_categorypreferences_fields_should_be_bool",
]
RequestCode = Literal[
    "invalid_json",
    "invalid_batch",
    "empty_batch",
    "invalid_encoding",
    "payload_too_large",
    "unsupported_encoding",
    "missing_write_key",
    "invalid_write_key",
    "source_disabled",
    "origin_not_allowed",
    "oauth_required",
    "oauth_token_rejected",
    "rate_limited",
    "not_found",
    "method_not_allowed",
    "uri_too_long",
    "invalid_http",
    "unavailable",
    "internal_error",
]
TokenError = Literal[
    "invalid_request", "invalid_client", "unsupported_grant_type", "invalid_scope", "unavailable"
]
Code = EventCode | RequestCode

EVENT_MESSAGES: Mapping[EventCode, str] = {
    "payload_too_large": "the request is larger than this source may send",
    "too_many_events": "the batch holds more events than one batch may",
    "not_an_object": "an event must be a JSON object",
    "event_too_large": "the event is larger than this source may send",
    "nesting_too_deep": "the event is nested too deeply",
    "too_many_properties": "the event holds too many values",
    "invalid_type": "type must be track, identify, page, screen, group or alias",
    "id_not_string": "userId, anonymousId, groupId and previousId must be strings",
    "id_too_long": "userId, anonymousId, groupId or previousId is too long",
    "name_too_long": "event, name or category is too long",
    "no_user_anon_id": "the event needs a userId or an anonymousId; alias needs a userId",
    "event_not_defined": "track needs a non-empty event name",
    "event_not_string": "the event name of a track must be a string",
    "properties_not_object": "properties must be an object",
    "traits_not_object": "traits must be an object",
    "name_not_string": "the name of a page or screen must be a string",
    "category_not_string": "the category of a page or screen must be a string",
    "group_id_required": "group needs a groupId",
    "previous_id_required": "alias needs a previousId or an anonymousId",
    "context_not_object": "context must be an object",
    "integrations_not_object": "integrations must be an object",
    "consent_categorypreferences_should_exist": (
        "a consent update needs context.consent.categoryPreferences"
    ),
    "consent_categorypreferences_fields_should_be_object": (
        "context.consent.categoryPreferences must be an object"
    ),
    "consent_categorypreferences_fields_should_be_bool": (
        "every value in context.consent.categoryPreferences must be true or false"
    ),
}
"""What one event can be rejected for, with the sentence for its sender."""

REFUSALS: Mapping[RequestCode, tuple[int, str]] = {
    "invalid_json": (400, "the body must be one JSON object in UTF-8"),
    "invalid_batch": (400, "batch must be an array of events"),
    "empty_batch": (400, "the batch holds no event"),
    "invalid_encoding": (400, "the body does not decode as its Content-Encoding says"),
    "payload_too_large": (400, EVENT_MESSAGES["payload_too_large"]),
    "unsupported_encoding": (415, "Content-Encoding must be gzip, deflate or identity"),
    "missing_write_key": (401, "no write key in the request"),
    "invalid_write_key": (401, "the write key is not known"),
    "source_disabled": (403, "the source of this write key is disabled"),
    "origin_not_allowed": (403, "the source takes no events from pages of this origin"),
    "oauth_required": (401, "the source takes no events without an OAuth token"),
    "oauth_token_rejected": (511, "the OAuth token does not hold any more; please fetch another"),
    "rate_limited": (429, "the source sends more requests than it may; please send again later"),
    "not_found": (404, "there is nothing at this path"),
    "method_not_allowed": (405, "this path does not take this method"),
    "uri_too_long": (414, "the address of the request is too long"),
    "invalid_http": (400, "the request is not valid HTTP"),
    "unavailable": (503, "events cannot be stored at the moment; please send again later"),
    "internal_error": (500, "the request could not be handled"),
}
"""What a whole request can be refused for."""

TOKEN_ERRORS: Mapping[TokenError, int] = {
    "invalid_request": 400,
    "invalid_client": 401,
    "unsupported_grant_type": 400,
    "invalid_scope": 400,
    "unavailable": 503,
}
"""What a request for a token can be refused for; OAuth fixes the words."""

KEPT: frozenset[RequestCode] = frozenset(
    {"invalid_json", "invalid_batch", "invalid_encoding", "payload_too_large"}
)
"""Refusals whose body goes into the dead letters of a known source."""


class Refused(Exception):
    """The whole request is refused; `raw` is what was read of a body that is worth keeping."""

    def __init__(
        self, code: RequestCode, raw: bytes | None = None, *, wait_s: int | None = None
    ) -> None:
        super().__init__(code)
        self.code: RequestCode = code
        self.raw = raw
        self.wait_s = wait_s
        """Seconds after which it may be tried again."""
