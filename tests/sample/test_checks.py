"""Checks: right answers in the forms that models give them, and wrong answers that come close."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.sample.checks import (
    Check,
    Exact,
    Items,
    Json,
    Lines,
    Number,
    Table,
    Words,
    accepts,
)

SNAKE = Exact(("get_user_name",))
SENTENCE = Exact(("Please restart the server.",))
EMAIL = Exact(("ann@example.org",), is_case_free=True)
CODE = Lines("total = 0\ntotal += 5")
TWELVE = Number(12.0)
DISTINCT = Words(("distinct",), ("group by", "union"))
HOST = Json(({"host": "db1", "port": 5432, "tls": True},))
ROWS_OR_ROW = Json(([{"id": 7}], {"id": 7}))
FRUIT = Items(("apple", "fig", "pear"))
ORDERED = Items(("apple", "fig", "pear"), is_ordered=True)
TABLE = Table((("Name", "Age"), ("Ann", "30")))

RIGHT: list[tuple[Check, str]] = [
    (SNAKE, "get_user_name"),
    (SNAKE, "`get_user_name`\n"),
    (SNAKE, "```python\nget_user_name\n```"),
    (SNAKE, "The snake_case form of getUserName is get_user_name."),
    (SNAKE, "It would be **get_user_name**, as all letters are small."),
    (SNAKE, "getUserName -> get_user_name"),
    (SNAKE, "Here you are:\n\nget_user_name"),
    (SENTENCE, "Please restart the server."),
    (SENTENCE, "Please restart the server"),
    (SENTENCE, "“Please restart the server.”"),
    (SENTENCE, 'The corrected sentence is: "Please restart the server."'),
    (EMAIL, "The email address is Ann@example.org. She answers soon."),
    (CODE, "total = 0\ntotal += 5"),
    (CODE, "Sure:\n```python\ntotal = 0\ntotal += 5\n```\nI renamed it."),
    (CODE, "total = 0   \n\ntotal += 5\n"),
    (TWELVE, "12"),
    (TWELVE, "3 boxes with 4 disks each make 3 * 4 = 12 disks."),
    (TWELVE, "First 3 boxes.\nThen 4 each.\nThe answer is **12**."),
    (TWELVE, "$12.00"),
    (TWELVE, "It takes 12ms"),
    (Number(2048.0), "2,048 MB"),
    (Number(-3.0), "The result is −3"),
    (DISTINCT, "DISTINCT"),
    (DISTINCT, "Use the `DISTINCT` keyword.\nUnlike UNION it works on one query."),
    (DISTINCT, "Here is the keyword:\n```sql\nSELECT DISTINCT name\n```"),
    (DISTINCT, "Sure! The keyword is DISTINCT. Do not mistake it for UNION."),
    (DISTINCT, "That is DISTINCT. An example:\n```sql\nSELECT name FROM users\n```"),
    (HOST, '{"host": "db1", "port": 5432, "tls": true}'),
    (HOST, 'Sure!\n```json\n{\n "tls": "true", "port": "5432",\n "host": "db1"\n}\n```\nDone.'),
    (ROWS_OR_ROW, '[{"id": 7}]'),
    (ROWS_OR_ROW, '{"id": "7"}'),
    (FRUIT, "pear, apple and fig"),
    (FRUIT, "- Apple\n- Pear\n- Fig"),
    (FRUIT, "The fruits are:\n1. fig\n2. apple\n3. pear"),
    (FRUIT, '["apple", "pear", "fig"]'),
    (FRUIT, "The fruits are apple, fig, and pear."),
    (ORDERED, "apple, fig, pear"),
    (TABLE, "| Name | Age |\n|------|-----|\n| Ann | 30 |"),
    (TABLE, "Here it is:\n```\nName | Age\n--- | ---\nAnn | 30\n```"),
]
WRONG: list[tuple[Check, str]] = [
    (SNAKE, "getUserName"),
    (SNAKE, "get_username"),
    (SNAKE, "Get_User_Name"),
    (SNAKE, "get_user_name_from_id"),
    (SNAKE, "def get_user_name(): return name"),
    (SENTENCE, "Please restart the server now."),
    (SENTENCE, "Please restrat the server."),
    (EMAIL, "Contact Ann at ann@example.org for access."),
    (Exact(("Otto",)), 'What is the name? {"id": 4, "name": "Otto"}'),
    (CODE, "x = 0\nx += 5"),
    (CODE, "total = 0"),
    (CODE, "total = 0\n    total += 5"),
    (TWELVE, "3 boxes with 4 disks"),
    (TWELVE, "12 is not it, the answer is 13."),
    (TWELVE, "0x12"),
    (TWELVE, "112"),
    (TWELVE, "-12"),
    (TWELVE, "twelve"),
    (DISTINCT, "GROUP BY or DISTINCT"),
    (DISTINCT, "It is not distinct."),
    (DISTINCT, "Use LIMIT.\nDISTINCT does something else."),
    (DISTINCT, "distinctly"),
    (DISTINCT, "- DISTINCT\n- GROUP BY"),
    (DISTINCT, "DISTINCT\nUNION\nLIMIT"),
    (DISTINCT, "Rows come back in any order. What you get is distinct."),
    (HOST, '{"host": "db1", "port": 5432}'),
    (HOST, '{"host": "db1", "port": 5432, "tls": true, "user": "x"}'),
    (HOST, '{"host": "db1", "port": 5433, "tls": true}'),
    (HOST, '{"host": "db1", "port": 5432, "tls": tru'),
    (HOST, "host=db1, port=5432, tls=true"),
    (ROWS_OR_ROW, '[{"id": 7}, {"id": 8}]'),
    (FRUIT, "apple, fig"),
    (FRUIT, "apple, fig, pear, plum"),
    (ORDERED, "Sort these: pear, apple, fig"),
    (FRUIT, "apple, apple, fig, pear"),
    (ORDERED, "fig, apple, pear"),
    (TABLE, "| Name | Age |\n| Ben | 30 |"),
    (TABLE, "Name, Age\nAnn, 30"),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_a_right_answer_is_accepted_in_this_form(check: Check, answer: str):
    assert accepts(check, answer)


@pytest.mark.parametrize(("check", "answer"), WRONG)
def test_a_wrong_answer_is_rejected(check: Check, answer: str):
    assert not accepts(check, answer)


@given(answer=st.text(alphabet=st.sampled_from("ab12 \n`\"'{}[]():,.|-*"), max_size=200))
def test_any_text_gets_a_verdict(answer: str):
    for check in {type(check): check for check, _ in RIGHT}.values():
        assert accepts(check, answer) in (True, False)


def test_brackets_without_end_are_no_json():
    assert not accepts(HOST, "[" * 5_000)
