"""What is asked again gets another answer on another day; and what holds a secret is told."""

import pytest

from pointsman.keeping import has_secret, is_dated, without_secrets

DATED = (
    "What's the weather in Paris?",
    "Who is the current president of France?",
    "Summarise today's headlines",
    "What time is it in Tokyo right now?",
    "What is the latest version of Python?",
    "How many days until Christmas?",
    "What are my meetings next Tuesday?",
    "What is he doing now?",
    "Bitcoin's exchange rate to the dollar",
)
TIMELESS = (
    "What is the capital of France?",
    "Now write a function that sorts a list",
    "Print the current directory in bash",
    "Explain the current working directory",
    "Translate: know thyself",
    "How do I renew a certificate?",
    "What is a timestamp?",
    "Say hello.",
    f"Summarise this. {'The weather was fine yesterday. ' * 20}",
)


@pytest.mark.parametrize("text", DATED)
def test_an_ask_of_the_day_is_known(text: str):
    assert is_dated(text)
    assert is_dated(text.upper())


@pytest.mark.parametrize("text", TIMELESS)
def test_an_ask_of_any_day_is_known(text: str):
    assert not is_dated(text)


# Assembled, so that no scanner takes this file for one with secrets in it.
SECRETS = (
    "my key is sk-" + "a1B2" * 6,
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "use ghp_" + "0123456789" * 3,
    "xoxb-" + "0123456789-abc",
    "-----BEGIN RSA PRIVATE " + "KEY-----",
    "password: hunter22",
    "\u0130s the PassWord is hunter22 \u0130",
    "The API key is 'abcdef123'",
    'api_key = "abcdef123"',
    "postgres://user:" + "pass@db.local/x",
    "Authorization: Bearer " + "abcdefghij0123456789",
    "eyJhbGciOiJI.eyJzdWIiOiIxMjM0",
)
PLAIN = (
    "How do I reset my password?",
    "Where is the key stored?",
    "Write a risk-averse plan",
    "https://example.com/a:b",
    "What is a bearer token?",
    "skip the task",
    "The secret is that nobody knows",
    "risk-free-and-simple-investments",
)


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_seen_and_can_be_blanked(text: str):
    assert has_secret(f"Please look at this: {text}")
    assert not has_secret(without_secrets(text))


@pytest.mark.parametrize("text", PLAIN)
def test_what_only_speaks_of_secrets_is_none(text: str):
    assert not has_secret(text)
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    ("piece", "is_secret"),
    [("eyj-", False), ("sk-", True), ("password:", True), ("secret is ", False), ("://a:", False)],
)
def test_a_text_made_to_be_slow_is_told_at_once(piece: str, is_secret: bool):
    # With shapes without bounds some of these take seconds.
    text = piece * (100_000 // len(piece))
    assert has_secret(text) == is_secret
    assert (without_secrets(text) != text) == is_secret
