import pytest

from pointsman.demo.requests import load_requests, parse_requests

REQUESTS = load_requests()
SENT = [request for request in REQUESTS if request.repeats is None]


def test_ids_are_unique_and_the_set_is_about_two_dozen():
    assert len({request.id for request in REQUESTS}) == len(REQUESTS)
    assert 22 <= len(REQUESTS) <= 26


@pytest.mark.parametrize(
    "text",
    [
        "Convert this list to JSON: name=Alice, age=30, role=dev",
        "what is a monad",
        "Architect a microservices migration plan for our Django monolith with 200k LOC",
    ],
)
def test_the_named_requests_are_present(text: str):
    assert [request.text for request in SENT].count(text) == 1


def test_repeats_equal_an_earlier_request_in_all_that_is_sent():
    repeats = [request for request in REQUESTS if request.repeats is not None]
    assert 3 <= len(repeats) <= 4
    for request in repeats:
        above = REQUESTS[: REQUESTS.index(request)]
        (first,) = [other for other in above if other.id == request.repeats]
        assert (request.messages, request.max_tokens) == (first.messages, first.max_tokens)


def test_one_is_streamed_and_each_event_is_forced_once():
    assert [request.id for request in REQUESTS if request.stream] == ["hash-map"]
    forced = [request.force for request in REQUESTS if request.force is not None]
    assert sorted(forced) == ["escalation", "fallback"]


def test_the_kinds_are_varied_and_include_a_long_review_and_json():
    assert {"lookup", "convert", "explain", "review", "json"} <= {request.kind for request in SENT}
    reviews = [request.text for request in SENT if request.kind == "review"]
    assert max(len(text.splitlines()) for text in reviews) >= 40


def test_the_json_request_asks_for_json_and_the_streamed_one_for_a_stream():
    (json_request,) = [request for request in SENT if request.kind == "json"]
    (streamed,) = [request for request in SENT if request.stream]
    assert json_request.body(model="auto") == {
        "model": "auto",
        "messages": [
            {"role": "system", "content": json_request.system},
            {"role": "user", "content": json_request.text},
        ],
        "max_tokens": json_request.max_tokens,
        "response_format": {"type": "json_object"},
    }
    assert streamed.body(model="auto")["stream"] is True


def test_the_answers_fit_the_time_a_demo_may_take():
    # 35 to 50 s on two cores, where about 1,100 of these tokens are generated.
    assert sum(request.max_tokens for request in SENT) <= 1600
    assert max(request.max_tokens for request in SENT) <= 160


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        pytest.param('id = "a"\nkind = "lookup"\ntext = "x"', "max_tokens", id="no max_tokens"),
        pytest.param('id = "a"\nkind = "repeat"\nrepeats = "b"', '"b"', id="unknown repeat"),
        pytest.param('id = "a"\nkind = "poem"\ntext = "x"', "poem", id="unknown kind"),
        pytest.param('id = "a"\nkind = "lookup"\ntxt = "x"', "txt", id="unknown field"),
    ],
)
def test_a_malformed_request_is_named(toml: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        parse_requests(f"[[requests]]\n{toml}\n")
