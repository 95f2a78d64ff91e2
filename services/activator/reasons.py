"""Why a destination is paused, by the reason that `afflux status` shows: what it means, what mends
it."""

from collections.abc import Iterator, Mapping
from typing import Any

from services.activator.domain.platform import Destination

PAUSING = ("AUTH", "CONFIG", "ITEM_CONFIG", "RETRY_THEN_CONFIG")
"""Outcomes of rows after which only a person can help."""

Explained = tuple[str, str]
"""What it means, what mends it."""

ANYWHERE: Mapping[str, Explained] = {
    "unauthorized": ("The platform refuses the credentials (401).", "Renew the secret."),
    "forbidden": (
        "The credentials are right but may not do this (403).",
        "Give them the permissions listed above.",
    ),
    "grant_refused": (
        "No new access token is given out: the grant was revoked or has run out.",
        "Let the owner of the account grant access anew and renew the secret.",
    ),
    "no_token_there": (
        "The address that should give out access tokens knows of none.",
        "Correct `token_url`, or leave it out.",
    ),
    "address_refused": (
        "The address is of this machine or of a private network.",
        "Set `allow_private: true` if it is meant; else correct the address.",
    ),
    "plain_http": (
        "The address is not https.",
        "Correct it, or set `allow_private: true` if it is meant.",
    ),
    "invalid_url": ("The address cannot be called.", "Correct it in the settings."),
    "topic_refused": (
        "The topic is not there, or the user may not write it.",
        "Make the topic, or give the user the rights listed above.",
    ),
    "audience_refused": (
        "The platform does not make, or does not find, the audience.",
        "Check the name and the rights to make audiences, or make it there and give its id as"
        " option `vendor_id`.",
    ),
    "audience_restricted": (
        "The platform has restricted the audience: nobody may be added to it.",
        "See in the account's audience manager why, and appeal there or follow the segment under a"
        " new name.",
    ),
}
"""Of every platform that can answer so."""

GOOGLE_RPC: Mapping[str, Explained] = {
    "unauthenticated": (
        "A new access token is refused as well.",
        "Grant the scope that is listed above anew and renew `refresh_token`.",
    ),
    "permission_denied": (
        "The user who granted access has no rights here.",
        "Give the user access, or grant it with another one.",
    ),
    "not_found": ("What is written to is not there.", "Correct its id in the settings."),
    "bad_destination": (
        "The account, list or conversion action is not usable: wrong, closed, of another account,"
        " or terms not signed.",
        "Correct the ids; sign the customer match terms in the account.",
    ),
    "bad_destination_path": (
        "A field of the account or list is refused.",
        "Correct the ids in the settings.",
    ),
}
GOOGLE_ADS: Mapping[str, Explained] = {
    "token": GOOGLE_RPC["unauthenticated"],
    "unauthenticated": GOOGLE_RPC["unauthenticated"],
    "setup": (
        "The account, the developer token or the conversion action cannot be used this way.",
        "Check `customer_id`, `login_customer_id`, the access level of the developer token, the"
        " customer data terms and the conversion action.",
    ),
}
META: Mapping[str, Explained] = {
    "token": (
        "The access token has run out, or was revoked.",
        "Make a new one for the system user and renew `access_token`.",
    ),
    "permission": (
        "The system user may not do this, or terms are not accepted.",
        "Assign it to the account; accept the custom audience terms there.",
    ),
    "missing_object": (
        "The audience, account or dataset is not there, or uploads to it are blocked.",
        "Correct the id; see the account's quality page.",
    ),
    "policy": (
        "Meta has blocked the action under its policies.",
        "See the account's quality page. It is tried again by itself after an hour.",
    ),
}
TIKTOK: Mapping[str, Explained] = {
    "token": (
        "The access token is missing, has run out or was revoked.",
        "Authorise the app anew and renew `access_token`.",
    ),
    "permission": (
        "The app or the token has no right to this advertiser.",
        "Add the scope to the app and authorise it anew for the advertiser.",
    ),
}
LINKEDIN: Mapping[str, Explained] = {
    "revoked": (
        "The member has revoked the access of the app.",
        "Let them grant it anew and renew `refresh_token`.",
    ),
    "token": (
        "A new access token is refused as well.",
        "Let the member grant access anew and renew `refresh_token`.",
    ),
    "permission": (
        "The app or the member has no right to this.",
        "Ask LinkedIn for the program's access; give the member a role in the account.",
    ),
    "not_ready": (
        "The segment is not there, and it is no longer new.",
        "See whether it was deleted; then archive it here and follow it under a new name.",
    ),
    "version_sunset": (
        "LinkedIn no longer answers this version of its API.",
        "Update Afflux.",
    ),
    "wrong_rule": (
        "The method of the conversion rule is not the Conversions API.",
        "Change the rule's method, or name another rule.",
    ),
}
SLACK: Mapping[str, Explained] = {
    "prohibited": (
        "The workspace does not let the webhook post.",
        "Let an admin allow the app, or make a new webhook.",
    ),
    "missing": (
        "The channel or the webhook was deleted.",
        "Make a new webhook and renew `path`.",
    ),
    "archived": (
        "The channel is archived.",
        "Open it again, or make a webhook for another one.",
    ),
}
SALESFORCE: Mapping[str, Explained] = {
    "session": (
        "A new session is refused as well.",
        "Check the user, its IP ranges and the policies of the connected app.",
    ),
    "grant": (
        "The signed request for a token is refused.",
        "Approve the connected app for the user; check `client_id`, `username`, the certificate"
        " and `audience`.",
    ),
    "item_config": (
        "A field is not there, or the user may not write it.",
        "Make the field or give the user access to it; correct the names in `profiles`.",
    ),
    "not_found": (
        "The object or the external id field is not there.",
        "Correct `sobject` or `external_id_field`.",
    ),
    "missing_field": (
        "The checkbox of an audience is not there.",
        "Make it on the object, named as written above, or name another by the option `field`.",
    ),
}
OF_ONE: Mapping[str, Mapping[str, Explained]] = {
    "braze": {
        "auth": ("The REST key is refused.", "Renew `rest_key`."),
        "wrong_host": (
            "The key belongs to another cluster.",
            "Set `base_url` to the REST endpoint shown in Braze.",
        ),
    },
    "customerio": {
        "auth": (
            "A key is refused.",
            "Renew `api_key` with its `site_id`, or `app_api_key`; in the EU set `base_url` and"
            " `app_base_url`.",
        ),
    },
    "google_ads_conversions": GOOGLE_ADS,
    "google_ads_customer_match": GOOGLE_ADS,
    "google_data_manager": GOOGLE_RPC,
    "google_sheets": GOOGLE_RPC,
    "hubspot": {
        "auth": (
            "The token is refused, a renewed one as well.",
            "Renew `access_token`, or let the owner of the account grant the app access anew.",
        ),
        "scopes": (
            "A scope is missing.",
            "Add the scopes listed above to the app; a private app keeps its token.",
        ),
        "unknown_property": (
            "A property is not defined for contacts.",
            "Create it in HubSpot, or correct its name in `profiles`.",
        ),
    },
    "intercom": {
        "attribute": (
            "A custom attribute is not defined for people.",
            "Create it in Intercom, or correct its name in `profiles`.",
        ),
        "auth": ("The token is refused.", "Renew `access_token`."),
    },
    "iterable": {
        "auth": (
            "The key is refused.",
            "Renew `api_key`; of a project in the EU set `base_url`.",
        ),
    },
    "klaviyo": {
        "auth": ("The private key is refused.", "Renew `private_key`."),
        "permission": (
            "The key lacks a scope.",
            "Make a key with the scopes listed above and renew `private_key`.",
        ),
        "missing_list": (
            "The list is not there.",
            "See whether it was deleted; then follow the segment under a new name.",
        ),
    },
    "linkedin_conversions": LINKEDIN,
    "linkedin_dmp": LINKEDIN,
    "mailchimp": {
        "auth": ("The key is refused.", "Renew `api_key`."),
        "forbidden": ("The key's user may not do this.", "Give the user the role of a manager."),
        "missing_list": (
            "The audience or the segment is not there.",
            "Correct `list_id`; a segment that was deleted is followed under a new name.",
        ),
    },
    "meta_conversions": META,
    "meta_custom_audiences": META,
    "postgres": {
        "auth": ("The database refuses the user or password.", "Renew `dsn`."),
        "schema": (
            "The database, the schema or a table is not there or not as it should be, or the user"
            " may not write it.",
            "Give the user the rights listed above; make the database and the schema; let the"
            " tables be made for you, or make them with the same columns and keys.",
        ),
    },
    "salesforce": SALESFORCE,
    "slack_webhook": SLACK,
    "snapchat_audiences": {
        "unauthorized": (
            "A new access token is refused as well.",
            "Let the owner grant access anew and renew `refresh_token`.",
        ),
        "permission": (
            "The app's user has no right to the ad account.",
            "Give the user a role there.",
        ),
    },
    "tiktok_audiences": TIKTOK,
    "tiktok_events": TIKTOK,
    "trade_desk_first_party": {
        "unauthorized": (
            "The signature is refused.",
            "Renew `advertiser_secret` or `provider_secret`; check that `base_url` is of the"
            " right region.",
        ),
    },
    "webhook": {
        "gone": (
            "The receiver says that the endpoint is gone for good (410).",
            "Put it back, or set another `base_url`.",
        ),
    },
    "zendesk": {
        "auth": (
            "The token is refused.",
            "Renew `access_token`; an API token needs `email` too.",
        ),
        "forbidden": ("The agent may not do this.", "Give the agent the role of an admin."),
    },
}
"""Of one platform, before what holds anywhere."""


OF_TRANSPORT: Mapping[str, tuple[str, ...]] = {
    "http": ("address_refused", "plain_http", "invalid_url"),
    "sql": ("address_refused", "invalid_url"),
    "kafka": ("topic_refused",),
    "filesystem": (),
}
"""What may stand in the way before the platform is reached."""


def pause_reasons(destination: Destination[Any]) -> tuple[str, ...]:
    """Everything that may pause it, in the order of its contract."""
    return tuple(dict.fromkeys(_reasons(destination)))


def _reasons(destination: Destination[Any]) -> Iterator[str]:
    contract = destination.contract
    actions = {endpoint.action for endpoint in contract.endpoints}
    for row in contract.errors:
        is_ours = not row.applies_to or actions & set(row.applies_to)
        if row.outcome in PAUSING and is_ours:
            yield row.name
    yield from OF_TRANSPORT[contract.transport]
    if contract.transport != "http" or destination.name == "webhook":
        return
    yield "unauthorized"
    if not any(403 in row.http and row.match is None for row in contract.errors):
        yield "forbidden"
    if destination.grant is not None:
        yield from ("grant_refused", "no_token_there")
    if destination.audiences is not None:
        restricted = "audience_restricted" if destination.audiences.verify else None
        yield from filter(None, ("audience_refused", restricted, destination.audiences.unmade))


def explained(destination: Destination[Any], reason: str) -> Explained:
    """What the reason means there, and what mends it."""
    return OF_ONE.get(destination.name, {}).get(reason) or ANYWHERE[reason]


def in_words(destination: Destination[Any], reason: str) -> str | None:
    """Both sentences; None where the reason is none of a pause."""
    is_known = reason in ANYWHERE or reason in OF_ONE.get(destination.name, {})
    return " ".join(explained(destination, reason)) if is_known else None
