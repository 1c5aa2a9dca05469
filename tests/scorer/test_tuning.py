"""Tuning: the file that `pointsman train` installs, and the certificate in it."""

from base64 import b85encode
from dataclasses import replace

import msgspec
import pytest

from pointsman.scorer.certificate import Certificate, GroupCertificate
from pointsman.scorer.heads import pack_heads
from pointsman.scorer.model import shipped
from pointsman.scorer.tuning import Measured, Tuning, decode_tuning, encode_tuning

CERTIFICATE = Certificate(
    floor=0.95,
    confidence=0.9,
    made_on="2026-11-23",
    scorer="s1",
    data="own ledger",
    models=("acme/small", "acme/big"),
    groups={
        "chat": GroupCertificate(threshold=0.02, labels=400, share_down=0.6, saving_estimated=0.5),
        "maths": GroupCertificate(threshold=None, labels=12, labels_needed=60),
    },
)
TUNING = Tuning(
    scorer="s1",
    trained_on="2026-11-23",
    data="own ledger",
    labels=412,
    measured={"acme/small": {"chat": Measured(0.8, 400)}},
    certificate=CERTIFICATE,
)


def test_what_is_written_is_read_again():
    assert decode_tuning(encode_tuning(TUNING)) == TUNING


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is no tuning"),
        (b"{}", "is no tuning"),
        (encode_tuning(msgspec.structs.replace(TUNING, format=99)), "format 99"),
    ],
    ids=["empty", "another object", "of the future"],
)
def test_another_file_is_refused(data: bytes, told: str):
    with pytest.raises(ValueError, match=told):
        decode_tuning(data)


@pytest.mark.parametrize("heads", ["not base 85 \x00", "00000"], ids=["no base 85", "no weights"])
def test_damaged_weights_are_refused(heads: str):
    with pytest.raises(ValueError, match="damaged"):
        msgspec.structs.replace(TUNING, heads=heads).build_scorer()


def test_without_weights_of_its_own_the_shipped_scorer_decides():
    assert TUNING.build_scorer() is shipped()


@pytest.mark.parametrize(
    ("scorer", "models", "floor", "told"),
    [
        ("s1", ["acme/small", "acme/big"], 0.95, ""),
        ("s1", ["acme/small", "acme/big"], 0.9, ""),
        ("s2", ["acme/small", "acme/big"], 0.95, "the scorer s1"),
        ("s1", ["acme/small", "acme/huge"], 0.95, "other models"),
        ("s1", ["acme/small", "acme/big"], 0.99, "a floor of 0.95"),
    ],
    ids=["holds", "a lower floor", "another scorer", "other models", "a higher floor"],
)
def test_a_certificate_holds_for_what_it_was_made_for(
    scorer: str, models: list[str], floor: float, told: str
):
    assert told in CERTIFICATE.fault(scorer=scorer, models=models, floor=floor)
    assert bool(told) == bool(CERTIFICATE.fault(scorer=scorer, models=models, floor=floor))


def test_a_certificate_tells_sample_floor_confidence_date_and_scorer():
    told = CERTIFICATE.told()
    for part in (
        "chat (400 labels, saves about 50%, estimated)",
        "95%",
        "90%",
        "412 labels",
        "2026-11-23",
        "s1",
        "own ledger",
    ):
        assert part in told
    assert "maths" not in told


@pytest.mark.parametrize(
    "changes",
    [
        {"relative_gain": ()},
        {"spread": ()},
        {"relative_gain": ((2.0, 1.0), (1.0, 2.0))},
        {"relative_gain": ((0.0, 1e308),)},
    ],
    ids=["no knots", "no spread", "knots that go back", "a huge number"],
)
def test_weights_that_would_fail_a_request_are_refused_at_once(changes):
    heads = shipped().heads
    group, head = next(iter(heads.by_group.items()))
    curves = msgspec.structs.replace(head.rules.curves, **changes)
    broken = replace(head, rules=msgspec.structs.replace(head.rules, curves=curves))
    packed = pack_heads(replace(heads, by_group={**heads.by_group, group: broken}))
    with pytest.raises(ValueError, match=group):
        msgspec.structs.replace(TUNING, heads=b85encode(packed).decode()).build_scorer()


@pytest.mark.parametrize(
    ("name", "value"), [("floor", 2), ("confidence", 7)], ids=["floor", "confidence"]
)
def test_a_certificate_of_nonsense_is_refused(name, value):
    data = msgspec.json.decode(encode_tuning(TUNING))
    data["certificate"][name] = value
    with pytest.raises(ValueError, match="is no tuning"):
        decode_tuning(msgspec.json.encode(data))
