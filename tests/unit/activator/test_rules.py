"""Identifier rules: every vector of the contract, and what it says beside them (§2, ruling 20)."""

import pytest

from services.activator.domain.rules import RULES, Dialling, hashed, normalised

VECTORS = [
    (
        "email_basic",
        None,
        "  Jane.Doe+News@Example.COM ",
        "jane.doe+news@example.com",
        "dbf1912b4cad4df9823f627874244e64b50a6ac550b9cb33b17df671a26679db",
    ),
    (
        "email_basic",
        None,
        "Jane.Doe+Promo@Gmail.com",
        "jane.doe+promo@gmail.com",
        "5f0d1df1fc49e30424381b57b1d4c73e067772a4267dde043a19b026935602c8",
    ),
    ("email_basic", None, "not-an-email", None, None),
    (
        "email_google",
        None,
        "  Jane.Doe+News@Example.COM ",
        "jane.doe+news@example.com",
        "dbf1912b4cad4df9823f627874244e64b50a6ac550b9cb33b17df671a26679db",
    ),
    (
        "email_google",
        None,
        "Jane.Doe+Promo@Gmail.com",
        "janedoe+promo@gmail.com",
        "3a627126a4392d8cec5f5d4eaa26639d3cfe852ebf1f1b49c3ffa61667798637",
    ),
    (
        "email_google",
        None,
        "Jefferson.Loves.hiking@gmail.com",
        "jeffersonloveshiking@gmail.com",
        "515d2f967f73864e76937ab2b897210a86fd286016903b1b08c3da07c75f513e",
    ),
    ("email_google", None, " ...@gmail.com", None, None),
    (
        "phone_digits",
        None,
        "+1 (415) 555-2671",
        "14155552671",
        "758fbf68945f21c416814c539ab578876c8d98fb69e6da692def92cd52417fe0",
    ),
    (
        "phone_digits",
        None,
        "0044 20 7946 0018",
        "442079460018",
        "99a4599795d24445a5be21117f375c1bbe9e795daf7f62666686ce081e1f32dc",
    ),
    ("phone_digits", None, "+0000000000", None, None),
    (
        "phone_e164",
        None,
        "+1 (415) 555-2671",
        "+14155552671",
        "cb6880e416769253645cb9c6b8989154bf66a56a77fc14c81fb1019663cbb928",
    ),
    (
        "phone_e164",
        None,
        "0044 20 7946 0018",
        "+442079460018",
        "faad3b10918e39b5f4d5334f1e1e128719608e8bd3ad3b963dc30187b4518e23",
    ),
    (
        "phone_e164",
        None,
        "1 800 555 0100",
        "+18005550100",
        "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30",
    ),
    ("phone_e164", None, "555-12", None, None),
    (
        "phone_e164",
        "91",
        "9198765432",
        "+919198765432",
        "e4a50ddc5d8512264afaa44cf3475de2788dc541d02a7b196ede507e7d988e6d",
    ),
    (
        "phone_e164",
        "91",
        "919198765432",
        "+919198765432",
        "e4a50ddc5d8512264afaa44cf3475de2788dc541d02a7b196ede507e7d988e6d",
    ),
    (
        "phone_e164",
        "44",
        "020 7946 0018",
        "+442079460018",
        "faad3b10918e39b5f4d5334f1e1e128719608e8bd3ad3b963dc30187b4518e23",
    ),
    ("phone_e164", None, "020 7946 0018", None, None),
    (
        "phone_digits",
        None,
        "020 7946 0018",
        "2079460018",
        "2d2f872c8544181507e2b062321de838714a2c16a3eb5fb05680bb231dc6b5af",
    ),
    (
        "name_strict",
        None,
        "  O'Connor-Smith ",
        "oconnorsmith",
        "8b9b81060e97cca385805fabeb71790f3bdd8a97e59e28808747c49780595636",
    ),
    (
        "name_strict",
        None,
        " Zoë ",
        "zoë",
        "2752b88686847fa5c86f47b94ce652b7b3f22a91c37617d451a4db9afa431450",
    ),
    (
        "first_initial",
        None,
        " Zoë ",
        "z",
        "594e519ae499312b29433b7dd8a97ff068defcba9755b6d5d00e84c524d67b06",
    ),
    (
        "google_name",
        None,
        "Mary Ann",
        "maryann",
        "16b3f07f0ec2f9dd127b71dc2e6c791b7d93116a1c3bc99d057eaa7a8a077e73",
    ),
    (
        "google_name",
        None,
        "O'Connor-Smith",
        "oconnorsmith",
        "8b9b81060e97cca385805fabeb71790f3bdd8a97e59e28808747c49780595636",
    ),
    (
        "gender_mf",
        None,
        "Female",
        "f",
        "252f10c83610ebca1a059c0bae8255eba2f95be4d1d7bcfa89d7248a82d9f111",
    ),
    (
        "dob_y",
        None,
        "1990-05-07",
        "1990",
        "a7be8e1fe282a37cd666e0632b17d933fa13f21addf4798fc0455bc166e2488c",
    ),
    (
        "dob_m",
        None,
        "1990-05-07",
        "05",
        "c97550ce8213ef5cf6ed4ba48790c137df3ef6a5da20b48961001a634b6cead2",
    ),
    (
        "dob_d",
        None,
        "1990-05-07",
        "07",
        "19b100ab7725c612f3d80ff203ca53cea5cadaafae3bf0f88f0fb4089fe08815",
    ),
    (
        "dob_capi",
        None,
        "1990-05-07",
        "19900507",
        "0a8833d6bf16ab77b210aea3ffa27104838fe3fc51219b871f869cf4b3194049",
    ),
    (
        "city_meta",
        None,
        "San Francisco",
        "sanfrancisco",
        "1a6bd4d9d79dc0a79b53795c70d3349fa9e38968a3fbefbfe8783efb1d2b6aac",
    ),
    (
        "city_meta",
        None,
        "São Paulo",
        "sãopaulo",
        "3eda1428ae1aece064071f8d40f08fe2bc59ffa66c171a163caf15122ec4d7f0",
    ),
    (
        "region_meta",
        None,
        "California",
        "ca",
        "6959097001d10501ac7d54c0bdb8db61420f658f2922cc26e46d536119a31126",
    ),
    (
        "postal_meta",
        None,
        "94103-1234",
        "94103",
        "91dc2519ea98c5002cf2091e6a12b772eafdce9dca618e626d7d3b8275361789",
    ),
    (
        "postal_meta",
        None,
        " SW1A 1AA",
        "sw1a1aa",
        "830e1d4b9838bab1f5c2acdb23e0b502ff13a9832c4632e8d67a1d43d3b7f614",
    ),
    (
        "country_iso2",
        None,
        "US",
        "us",
        "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621",
    ),
    (
        "maid_lower",
        None,
        "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "30a5154b77ab8b2ddbe19f5e7af72f33cc2a4a41f22940d965102650a1c72863",
    ),
    (
        "ext_trim",
        None,
        " user-42 ",
        "user-42",
        "6d894aa3ee802549d7f340e7c1cf0d1c1cb14cd84f768d92ffaa6785337c4997",
    ),
]


@pytest.mark.parametrize(("rule", "country", "raw", "text", "digest"), VECTORS)
def test_s2_vectors(
    rule: str, country: str | None, raw: str, text: str | None, digest: str | None
) -> None:
    assert normalised(rule, raw, Dialling(country)) == text
    assert hashed(rule, "sha256", raw, Dialling(country)) == digest


def test_s2_a_digest_is_passed_through_in_lower_case() -> None:
    digest = VECTORS[0][4]
    assert digest is not None
    assert hashed("email_basic", "sha256", digest.upper()) == digest


@pytest.mark.parametrize("rule", sorted(RULES))
def test_s2_nothing_is_never_hashed(rule: str) -> None:
    assert hashed(rule, "sha256", "") is None


def test_s2_email_md5_is_the_path_of_the_member() -> None:
    assert normalised("email_md5", "Jane.Doe+News@Example.COM") == (
        "6a58e7286ac0e6944c137f0fb3f101b1"
    )


def test_s2_texts_are_composed_first() -> None:
    assert normalised("name_strict", "Zoe\u0308") == "zo\u00eb"


@pytest.mark.parametrize("raw", ["+44 (0)20 7946 0018", "0044 (0) 20 7946 0018"])
def test_ruling_20_a_trunk_zero_behind_the_country_code_is_not_dialled(raw: str) -> None:
    assert normalised("phone_e164", raw) == "+442079460018"


@pytest.mark.parametrize(
    ("raw", "text"),
    [("california", "ca"), ("New  York", "ny"), ("Bayern", "bayern"), ("CA", "ca")],
)
def test_s2_regions_of_the_united_states_become_codes(raw: str, text: str) -> None:
    assert normalised("region_meta", raw) == text


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("(+44) 20 7946 0018", "+442079460018"),
        ("[+44] (0)20 7946 0018", "+442079460018"),
        ("tel. +442079460018", "+442079460018"),
        ("(0044) 20 7946 0018", "+442079460018"),
        ("000 44 20 7946 0018", None),
    ],
)
def test_s2_what_leads_a_number_is_the_first_sign_of_it(raw: str, found: str | None) -> None:
    assert normalised("phone_e164", raw, Dialling("1")) == found
