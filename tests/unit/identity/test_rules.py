"""identity.md §1: the workspace kind `identity`."""

import pytest
from pydantic import ValidationError

from services.identity.domain.rules import IdentityRules


def test_s1_without_a_document_the_default_rules_hold() -> None:
    rules = IdentityRules()
    assert [(r.type, r.normalise, r.limit) for r in rules.identifiers] == [
        ("user_id", "none", 1),
        ("email", "email", 5),
        ("phone", "phone", 5),
        ("anonymous_id", "none", 500),
    ]
    assert (rules.max_merges, rules.max_identifiers) == (100, 1000)
    assert "test@example.com" in rules.blocked.values
    assert rules.blocked.patterns == ("^[0-]*$",)


def test_what_a_document_does_not_say_is_as_by_default() -> None:
    rules = IdentityRules.model_validate_json(
        b'{"kind":"identity","id":"default","max_merges":7,"blocked":{"values":["x"]}}'
    )
    assert rules.max_merges == 7
    assert rules.identifiers == IdentityRules().identifiers
    assert rules.blocked.values == ("x",)
    assert rules.blocked.patterns == ("^[0-]*$",)


def test_a_type_may_be_custom() -> None:
    rules = IdentityRules.model_validate({"identifiers": [{"type": "ios.idfa", "limit": 3}]})
    assert rules.identifiers[0].type == "ios.idfa"
    assert rules.identifiers[0].paths == ()


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"max_merge": 1}, "max_merge"),
        ({"kind": "segment"}, "kind"),
        ({"identifiers": []}, "identifiers"),
        ({"identifiers": [{"type": "email", "limit": 0}]}, "limit"),
        ({"identifiers": [{"type": "email", "normalize": "email"}]}, "normalize"),
        ({"identifiers": [{"type": "email", "normalise": "upper"}]}, "normalise"),
        ({"identifiers": [{"type": "E mail"}]}, "type"),
        ({"identifiers": [{"type": "alias"}]}, "reserved"),
        ({"identifiers": [{"type": "email"}, {"type": "email"}]}, "more than once"),
        ({"identifiers": [{"type": "email", "paths": ["traits..email"]}]}, "paths"),
        ({"blocked": {"patterns": ["("]}}, "not a regular expression"),
        ({"max_identifiers": 0}, "max_identifiers"),
    ],
)
def test_wrong_rules_are_refused_with_their_place(document: dict[str, object], place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        IdentityRules.model_validate(document)
