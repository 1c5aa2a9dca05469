"""Tuning: the file that `pointsman train` installs, and the certificate in it."""

import msgspec
import pytest

from pointsman.scorer.certificate import Certificate, GroupCertificate
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
        "chat (saves about 50%, estimated)",
        "95%",
        "90%",
        "412 labels",
        "2026-11-23",
        "s1",
        "own ledger",
    ):
        assert part in told
    assert "maths" not in told
