"""What each call of each platform may hold: its path, fields and query."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """One call; `{}` in the path stands for anything. Names are separated by spaces."""

    method: str
    path: str
    needs: str = ""
    may: str = ""
    query: str = ""

    def fits(self, method: str, path: str) -> bool:
        pattern = re.escape(self.path).replace(r"\{\}", "[^/]+?")
        return method == self.method and re.fullmatch(pattern, path) is not None


CONTACT = "external_id email name phone avatar signed_up_at last_seen_at custom_attributes"
ITEMS = "destinations encoding"
SHAPES: Mapping[str, Sequence[Shape]] = {
    "meta_custom_audiences": (
        Shape("POST", "/v25.0/{}/users", "session payload"),
        Shape("DELETE", "/v25.0/{}/users", "session payload"),
        Shape("GET", "/v25.0/act_{}/customaudiences", query="fields filtering"),
        Shape("GET", "/v25.0/{}", query="fields"),
        Shape(
            "POST", "/v25.0/act_{}/customaudiences", "name subtype customer_file_source description"
        ),
    ),
    "meta_conversions": (Shape("POST", "/v25.0/{}/events", "data", "test_event_code"),),
    "google_data_manager": (
        Shape(
            "POST",
            "/v1/audienceMembers:ingest",
            f"{ITEMS} audienceMembers termsOfService",
            "validateOnly consent",
        ),
        Shape("POST", "/v1/audienceMembers:remove", f"{ITEMS} audienceMembers", "validateOnly"),
        Shape("POST", "/v1/events:ingest", f"{ITEMS} events", "validateOnly consent"),
        Shape("GET", "/v1/accountTypes/{}/accounts/{}/userLists"),
        Shape(
            "POST",
            "/v1/accountTypes/{}/accounts/{}/userLists",
            "displayName membershipDuration ingestedUserListInfo",
            "description",
        ),
        Shape("GET", "/v1/requestStatus:retrieve", query="requestId"),
    ),
    "google_ads_customer_match": (
        Shape("POST", "/v24/customers/{}/googleAds:search", "query"),
        Shape("POST", "/v24/customers/{}/userLists:mutate", "operations"),
        Shape("POST", "/v24/customers/{}/offlineUserDataJobs:create", "job", "validateOnly"),
        Shape(
            "POST",
            "/v24/customers/{}/offlineUserDataJobs/{}:addOperations",
            "operations enablePartialFailure",
        ),
        Shape("POST", "/v24/customers/{}/offlineUserDataJobs/{}:run"),
    ),
    "google_ads_conversions": (
        Shape(
            "POST",
            "/v24/customers/{}:uploadClickConversions",
            "conversions partialFailure",
            "validateOnly",
        ),
        Shape(
            "POST",
            "/v24/customers/{}:uploadConversionAdjustments",
            "conversionAdjustments partialFailure",
            "validateOnly",
        ),
    ),
    "tiktok_audiences": (
        Shape("POST", "/v1.3/segment/mapping/", "advertiser_ids action id_schema batch_data"),
        Shape("POST", "/v1.3/segment/audience/", "advertiser_id custom_audience_name action"),
        Shape("GET", "/v1.3/dmp/custom_audience/list/", query="advertiser_id page_size"),
    ),
    "tiktok_events": (
        Shape(
            "POST",
            "/v1.3/event/track/",
            "event_source event_source_id data",
            "partner_name test_event_code",
        ),
    ),
    "linkedin_dmp": (
        Shape("GET", "/dmpSegments", query="q account sourceSegmentId sourcePlatform"),
        Shape(
            "POST",
            "/dmpSegments",
            "name sourcePlatform sourceSegmentId account accessPolicy type destinations",
        ),
        Shape("POST", "/dmpSegments/{}/users", "elements"),
    ),
    "linkedin_conversions": (Shape("POST", "/conversionEvents", "elements"),),
    "snapchat_audiences": (
        Shape("GET", "/adaccounts/{}/segments"),
        Shape("POST", "/adaccounts/{}/segments", "segments"),
        Shape("POST", "/segments/{}/users", "users"),
        Shape("DELETE", "/segments/{}/users", "users"),
    ),
    "trade_desk_first_party": (
        Shape("POST", "/data/advertiser", "DataProviderId AdvertiserId Items"),
    ),
    "hubspot": (
        Shape("POST", "/crm/v3/objects/contacts/batch/upsert", "inputs"),
        Shape(
            "PUT",
            "/crm/v3/lists/{}/memberships/add-and-remove",
            "recordIdsToAdd recordIdsToRemove",
        ),
        Shape("GET", "/crm/v3/lists/object-type-id/0-1/name/{}"),
        Shape("POST", "/crm/v3/lists", "name objectTypeId processingType"),
        Shape("POST", "/events/v3/send/batch", "inputs"),
    ),
    "salesforce": (
        Shape("PATCH", "/services/data/v66.0/composite/sobjects/{}/{}", "allOrNone records"),
        Shape("GET", "/services/data/v66.0/sobjects/{}/describe"),
    ),
    "braze": (Shape("POST", "/users/track", may="attributes events purchases"),),
    "klaviyo": (
        Shape("POST", "/api/profile-import", "data"),
        Shape("POST", "/api/profile-bulk-import-jobs", "data"),
        Shape("GET", "/api/profiles/{}", query="additional-fields[profile]"),
        Shape("POST", "/api/profile-subscription-bulk-create-jobs", "data"),
        Shape("POST", "/api/profile-subscription-bulk-delete-jobs", "data"),
        Shape("GET", "/api/profile-bulk-import-jobs/{}"),
        Shape("GET", "/api/lists", query="filter"),
        Shape("POST", "/api/lists", "data"),
        Shape("POST", "/api/lists/{}/relationships/profiles", "data"),
        Shape("DELETE", "/api/lists/{}/relationships/profiles", "data"),
        Shape("POST", "/api/events", "data"),
        Shape("POST", "/api/event-bulk-create-jobs", "data"),
    ),
    "customerio": (
        Shape("POST", "/api/v2/batch", "batch"),
        Shape("POST", "/api/v1/segments/{}/add_customers", "ids", query="id_type"),
        Shape("POST", "/api/v1/segments/{}/remove_customers", "ids", query="id_type"),
        Shape("GET", "/v1/segments"),
        Shape("POST", "/v1/segments", "segment"),
    ),
    "iterable": (
        Shape("POST", "/users/bulkUpdate", "users", "createNewFields"),
        Shape("POST", "/lists/subscribe", "listId subscribers", "updateExistingUsersOnly"),
        Shape("POST", "/lists/unsubscribe", "listId subscribers channelUnsubscribe"),
        Shape("POST", "/events/trackBulk", "events"),
        Shape("GET", "/lists"),
        Shape("POST", "/lists", "name"),
    ),
    "intercom": (
        Shape("POST", "/contacts", "role", f"{CONTACT} unsubscribed_from_emails"),
        Shape("PUT", "/contacts/{}", "role", f"{CONTACT} unsubscribed_from_emails"),
        Shape("POST", "/contacts/{}/tags", "id"),
        Shape("DELETE", "/contacts/{}/tags/{}"),
        Shape("POST", "/tags", "name"),
        Shape("POST", "/events", "event_name created_at user_id", "email metadata"),
    ),
    "zendesk": (
        Shape("POST", "/users/create_or_update_many", "users"),
        Shape("PUT", "/users/update_many", "users"),
        Shape("GET", "/user_fields"),
        Shape("POST", "/user_fields", "user_field"),
        Shape("GET", "/job_statuses/{}"),
    ),
    "mailchimp": (
        Shape(
            "PUT",
            "/lists/{}/members/{}",
            "email_address status_if_new",
            "merge_fields",
            query="skip_merge_validation",
        ),
        Shape("GET", "/lists/{}/members/{}", query="fields"),
        Shape(
            "POST",
            "/lists/{}",
            "members",
            "update_existing sync_tags",
            query="skip_merge_validation skip_duplicate_check",
        ),
        Shape("GET", "/lists/{}/segments", query="type count"),
        Shape("POST", "/lists/{}/segments", "name static_segment"),
        Shape("POST", "/lists/{}/segments/{}", "members_to_add members_to_remove"),
        Shape(
            "POST", "/lists/{}/members/{}/events", "name", may="properties occurred_at is_syncing"
        ),
    ),
    "slack_webhook": (Shape("POST", "/services/{}/{}/{}", "text", "blocks"),),
    "google_sheets": (
        Shape(
            "POST",
            "/v4/spreadsheets/{}/values/{}:append",
            "values",
            query="valueInputOption insertDataOption",
        ),
        Shape("GET", "/v4/spreadsheets/{}/values/{}"),
    ),
    "webhook": (Shape("POST", "/hook", "", "type timestamp data"),),
}
"""By platform."""

NUMBERS = ("listId", "created_at", "page_size")
FLAGS = (
    "validateOnly",
    "enablePartialFailure",
    "partialFailure",
    "allOrNone",
    "createNewFields",
    "updateExistingUsersOnly",
    "channelUnsubscribe",
    "update_existing",
    "sync_tags",
    "is_syncing",
)
LISTS = (
    "destinations",
    "audienceMembers",
    "operations",
    "conversions",
    "conversionAdjustments",
    "advertiser_ids",
    "id_schema",
    "batch_data",
    "elements",
    "segments",
    "Items",
    "inputs",
    "recordIdsToAdd",
    "recordIdsToRemove",
    "records",
    "attributes",
    "purchases",
    "events",
    "batch",
    "ids",
    "users",
    "subscribers",
    "members",
    "members_to_add",
    "members_to_remove",
    "static_segment",
    "values",
)
OBJECTS = (
    "session",
    "payload",
    "termsOfService",
    "ingestedUserListInfo",
    "job",
    "segment",
    "custom_attributes",
    "metadata",
    "user_field",
    "merge_fields",
    "properties",
)
MIXED = ("data",)
"""An object here, a list there."""
TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(NUMBERS, (int,)),
    **dict.fromkeys(FLAGS, (bool,)),
    **dict.fromkeys(LISTS, (list,)),
    **dict.fromkeys(OBJECTS, (dict,)),
    **dict.fromkeys(MIXED, (dict, list)),
}
"""Of fields of a body; any other is a text."""
