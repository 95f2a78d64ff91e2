"""One instance of every destination, and one person with every kind of change."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.activator.domain.change import Change, Conversion, Goods
from services.activator.instance import Instance
from tests.unit.activator.builders import change
from tests.unit.activator.building import instance

OAUTH = {"client_id": "client", "client_secret": "secret", "refresh_token": "refresh"}


@cache
def private_key() -> str:
    """A key that signs, of no other use."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode()


SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "braze": {"rest_key": "key", "purchase_events": ["Purchase"]},
    "customerio": {"site_id": "site", "api_key": "key", "app_api_key": "app"},
    "file": {"root": "/var/afflux"},
    "google_ads_conversions": OAUTH
    | {"developer_token": "dev", "customer_id": "123", "conversion_action_id": "456"},
    "google_ads_customer_match": OAUTH | {"developer_token": "dev", "customer_id": "123"},
    "google_data_manager": OAUTH
    | {
        "operating_account": "7693729833",
        "login_account": "1112223333",
        "conversion_action_id": "456",
    },
    "google_sheets": OAUTH | {"spreadsheet_id": "sheet-1"},
    "hubspot": {"access_token": "pat", "portal_id": "123"},
    "intercom": {"access_token": "token"},
    "iterable": {"api_key": "key"},
    "kafka_topic": {"bootstrap_servers": "127.0.0.1:1", "topic": "changes"},
    "klaviyo": {"private_key": "key"},
    "linkedin_conversions": OAUTH | {"conversion_id": "789123"},
    "linkedin_dmp": OAUTH | {"account": "512315509", "source_platform": "AFFLUX"},
    "mailchimp": {"api_key": "key-us6", "list_id": "list-1"},
    "meta_conversions": {"access_token": "EAAB-token", "dataset_id": "555"},
    "meta_custom_audiences": {"access_token": "EAAB-token", "ad_account_id": "123"},
    "postgres": {"dsn": "postgresql://127.0.0.1/db"},
    "salesforce": {
        "client_id": "client",
        "username": "user",
        "external_id_field": "CDP_Id__c",
        "event_sobject": "CDP_Event__c",
        "event_external_id_field": "Event_Id__c",
    },
    "slack_webhook": {"path": "/services/T1/B1/X1"},
    "snapchat_audiences": OAUTH | {"ad_account_id": "account-1"},
    "tiktok_audiences": {"access_token": "token", "advertiser_id": "6957291023"},
    "tiktok_events": {"access_token": "token", "event_source_id": "CX1"},
    "trade_desk_first_party": {
        "advertiser_id": "adv123",
        "advertiser_secret": "ttd-secret",
        "data_provider_id": "cdp",
    },
    "webhook": {
        "base_url": "https://example.com/hook",
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    },
    "zendesk": {"subdomain": "acme", "access_token": "token"},
}
"""The least that each type needs."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "google_ads_conversions enhancement": {"variant": "enhancement"},
    "google_ads_conversions retraction": {"variant": "retraction"},
    "google_ads_conversions restatement": {"variant": "restatement"},
    "klaviyo bulk": {"profile_variant": "bulk", "event_variant": "bulk"},
    "mailchimp bulk": {"map_marketing_email": True},
    "snapchat_audiences e-mail": {"id_types": ["EMAIL_SHA256"]},
    "meta_conversions proof": {"app_secret": "app-secret-xyz"},
    "braze array": {"array_attribute": "audiences"},
    "linkedin_dmp sha512": {"id_types": ["SHA512_EMAIL"]},
}
"""Other ways of a platform, by its name and a word."""

PERSON: Mapping[str, Any] = {
    "identifiers": [
        {"type": "user_id", "value": "user-42"},
        {"type": "email", "value": "  Jane.Doe+News@Example.COM "},
        {"type": "phone", "value": "+1 (415) 555-2671"},
        {"type": "aaid", "value": "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"},
        {"type": "uid2", "value": "uid2-abc"},
    ],
    "traits": {
        "first_name": " Zoë ",
        "last_name": "  O'Connor-Smith ",
        "gender": "Female",
        "dob": "1990-05-07",
        "city": "San Francisco",
        "region": "California",
        "postal_code": "94103-1234",
        "country": "US",
    },
    "consent": {"ad_user_data": "granted", "ad_personalization": "granted"},
}
CONVERSION = Conversion(
    event_id="evt_9001",
    name="Purchase",
    value=129.5,
    currency="USD",
    order_id="ORD-1",
    items=(Goods(id="SKU1", quantity=1, price=129.5, name="Shoe"),),
    click={"gclid": "Cj0", "fbp": "fb.1.1558571054389.1098115397", "li_fat_id": "li-1"},
    client={
        "ip": "203.0.113.7",
        "user_agent": "Mozilla/5.0",
        "url": "https://shop.example/thanks",
    },
    properties={"order_id": "ORD-1"},
)


def an_instance(name: str, more: Mapping[str, Any] = {}, **fields: Any) -> Instance:
    """The instance `ads` of a type, with all that it needs and more settings."""
    given = dict(SETTINGS[name])
    if name == "salesforce":
        given["private_key_pem"] = private_key()
    return instance(name, given | dict(more), **fields)


def changes() -> Mapping[str, Change]:
    """One change of every operation."""
    person = dict(PERSON)
    update = person | {"traits": {"name": "Zoë O'Connor", "plan": "pro", "old": None}}
    conversion = replace(
        change(audience_id=None, profile=person), operation="send_event", conversion=CONVERSION
    )
    return {
        "add_member": change(version=17, profile=person),
        "remove_member": change(version=18, member=False, profile=person),
        "upsert_profile": change(audience_id=None, profile=update),
        "send_event": conversion,
    }
