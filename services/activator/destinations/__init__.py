"""Every kind of destination, listed by hand: one file each in this folder."""

from collections.abc import Mapping
from typing import Any

from services.activator.destinations import (
    braze,
    customerio,
    file,
    google_ads_conversions,
    google_ads_customer_match,
    google_data_manager,
    google_sheets,
    hubspot,
    intercom,
    iterable,
    kafka_topic,
    klaviyo,
    linkedin_conversions,
    linkedin_dmp,
    mailchimp,
    meta_conversions,
    meta_custom_audiences,
    postgres,
    salesforce,
    slack_webhook,
    snapchat_audiences,
    tiktok_audiences,
    tiktok_events,
    trade_desk_first_party,
    webhook,
    zendesk,
)
from services.activator.domain.platform import Destination

DESTINATIONS: Mapping[str, Destination[Any]] = {
    destination.name: destination
    for destination in (
        braze.DESTINATION,
        customerio.DESTINATION,
        file.DESTINATION,
        google_ads_conversions.DESTINATION,
        google_ads_customer_match.DESTINATION,
        google_data_manager.DESTINATION,
        google_sheets.DESTINATION,
        hubspot.DESTINATION,
        intercom.DESTINATION,
        iterable.DESTINATION,
        kafka_topic.DESTINATION,
        klaviyo.DESTINATION,
        linkedin_conversions.DESTINATION,
        linkedin_dmp.DESTINATION,
        mailchimp.DESTINATION,
        meta_conversions.DESTINATION,
        meta_custom_audiences.DESTINATION,
        postgres.DESTINATION,
        salesforce.DESTINATION,
        slack_webhook.DESTINATION,
        snapchat_audiences.DESTINATION,
        tiktok_audiences.DESTINATION,
        tiktok_events.DESTINATION,
        trade_desk_first_party.DESTINATION,
        webhook.DESTINATION,
        zendesk.DESTINATION,
    )
}
