"""Standard Webhooks signatures: the check values of destinations.md §6.1."""

import base64

import pytest

from services.activator.domain.signature import BadSecret, secret_bytes, signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTORS = [
    (
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        '{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "msg_01JHKQ4Z8T0000000000000000",
        1768469400,
        '{"type":"audience.member_added","timestamp":"2026-01-15T09:30:00Z",'
        '"data":{"audience_id":"aud_vip","profile_id":"p_42"}}',
        "v1,1/FrGgqX9uWS9/pXQvBezD/jXMR4WgxLD+DB61O9kX0=",
    ),
]


@pytest.mark.parametrize(("message_id", "timestamp", "body", "expected"), VECTORS)
def test_s6_1_signature_check_values(
    message_id: str, timestamp: int, body: str, expected: str
) -> None:
    signed = signature([SECRET], message_id=message_id, timestamp=timestamp, body=body.encode())
    assert signed == expected


def test_s6_1_all_secrets_sign_and_the_first_is_in_front() -> None:
    newer = "whsec_" + base64.b64encode(bytes(24)).decode()
    message_id, timestamp, body, expected = VECTORS[0]
    signed = signature(
        [newer, SECRET], message_id=message_id, timestamp=timestamp, body=body.encode()
    )
    first, second = signed.split(" ")
    assert first.startswith("v1,")
    assert second == expected != first


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_!!!",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
    ],
)
def test_s6_1_a_secret_holds_24_to_64_bytes(text: str) -> None:
    with pytest.raises(BadSecret) as refused:
        secret_bytes(text)
    assert "MfKQ" not in str(refused.value)
