"""Code block: what names a language parses in it, unless it is not meant to."""

import warnings

import pytest
from tests.validators.asks import ask, unfinished, whole

from pointsman.validators.code_block import CodeBlock
from pointsman.validators.fences import Block, fenced_blocks


def fenced(language: str, code: str) -> str:
    return f"Here:\n\n```{language}\n{code}\n```\n\nThat is all."


@pytest.mark.parametrize(
    ("language", "code"),
    [
        pytest.param("python", "def f(:\n    pass", id="python"),
        pytest.param("py", "x = (1,", id="never closed"),
        pytest.param("Python", "if x\n    y()", id="no colon"),
        pytest.param("python title=a.py", "return return", id="more after the language"),
        pytest.param("python", "def f():\nreturn 1", id="indent lost"),
        pytest.param("python", "print 'hello'", id="python 2"),
        pytest.param("json", '{"a": 1,}', id="json, trailing comma"),
        pytest.param("json", "{'a': 1}", id="json, single quotes"),
        pytest.param("toml", "a = \n[b", id="toml"),
        pytest.param("toml", "a = 1\na = 2", id="toml, key twice"),
    ],
)
def test_is_rejected(language, code):
    reason = CodeBlock().check(whole(fenced(language, code)), ask())
    assert reason.startswith(f"code block 1 is not {language.split()[0].lower()}: ")


@pytest.mark.parametrize(
    ("language", "code"),
    [
        pytest.param("python", "def f(x: int) -> int:\n    return x", id="python"),
        pytest.param("python", "await f()\nreturn 1", id="a body without its function"),
        pytest.param("python", "    x = 1\n    y = 2", id="indented as a whole"),
        pytest.param("python", "def f():\n    ...\n\nx = (", id="elided"),
        pytest.param("python", ">>> 1 +\n... 1\n2", id="doctest"),
        pytest.param("python", ">>> 1 + 1\n2 2", id="session"),
        pytest.param("python", "%timeit f()", id="magic"),
        pytest.param("python", "!pip install x", id="shell escape"),
        pytest.param("python", "print?", id="help"),
        pytest.param("python", "elif x:\n    y()", id="an excerpt"),
        pytest.param("python", "def f(x: int) -> str:", id="a signature"),
        pytest.param("python", "def f():\n    # your code here", id="a skeleton"),
        pytest.param("python", "print 'x'  # SyntaxError in Python 3", id="shows an error"),
        pytest.param("python", "type Pair[T] = tuple[T, T]", id="Python 3.12"),
        pytest.param("python", "f'{d['a']}'", id="Python 3.12's f-string"),
        pytest.param("python", "re.match('\\d', x) is 1", id="warns"),
        pytest.param("python", "(" * 5000, id="nested too deep"),
        pytest.param("python", "x" + ".a" * 40_000, id="too deep for the tree"),
        pytest.param("python", "-" * 90_000 + "1", id="too deep for the parser"),
        pytest.param("python", "x = (" + " " * 100_000, id="too long"),
        pytest.param("python", "x\0", id="null byte"),
        pytest.param("", "def f(:", id="no language"),
        pytest.param("text", "def f(:", id="another language"),
        pytest.param("json", '{"a": [1, null]}', id="json"),
        pytest.param("json", '{"a": 1} // one', id="json with comments"),
        pytest.param("json", '{"a": [1, ...]}', id="json, elided"),
        pytest.param("json", '{"a": 1}\n{"a": 2}', id="json lines"),
        pytest.param("json", '"a": 1,\n"b": 2,', id="members of an object"),
        pytest.param("json", '{"key": <your-key>}', id="placeholder"),
        pytest.param("json", "[" * 5000 + "]" * 5000, id="json too deep"),
        pytest.param("toml", "[a]\nb = 1979-05-27\n# fine", id="toml"),
        pytest.param("toml", "a." * 30_000 + "b = 1", id="toml with a very long key"),
        pytest.param("toml", "a = " + "[" * 5000 + "]" * 5000, id="toml too deep"),
        pytest.param("python", " ", id="blank"),
    ],
)
def test_is_accepted(language, code):
    assert CodeBlock().check(whole(fenced(language, code)), ask()) == ""


@pytest.mark.parametrize(
    ("draft", "judged"),
    [
        pytest.param(unfinished(fenced("json", "{")), ask(), id="still coming"),
        pytest.param(whole("```python\ndef f(:"), ask(), id="not closed"),
        pytest.param(whole(fenced("json", "{")), ask("Why is\n{\nno JSON?"), id="quotes the ask"),
        pytest.param(whole(fenced("py", "print 'x'")), ask("In Python 2, please."), id="Python 2"),
        pytest.param(whole(fenced("py", "if x")), ask("Show me a SyntaxError."), id="asks for one"),
    ],
)
def test_is_not_judged(draft, judged):
    assert CodeBlock().check(draft, judged) == ""


def test_every_block_is_judged():
    text = fenced("python", "x = 1") + "\n" + fenced("bash", "ls") + "\n" + fenced("json", "{]")
    assert CodeBlock().check(whole(text), ask()).startswith("code block 3 is not json: ")


def test_a_block_in_a_list_is_judged_without_its_indent():
    text = "1. First:\n\n   ```python\n   if x:\n       y()\n   ```\n"
    assert CodeBlock().check(whole(text), ask()) == ""


def test_warnings_of_the_parser_stay_inside():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        CodeBlock().check(whole(fenced("python", "'\\d'")), ask())
    assert seen == []


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("none", []),
        ("```py\na\n```", [Block("py", "a\n", True)]),
        ("~~~ {.py}\na\n~~~~", [Block("py", "a\n", True)]),
        ("````md\n```py\n```\n````", [Block("md", "```py\n```\n", True)]),
        ("```\na\n~~~\n", [Block("", "a\n~~~\n", False)]),
        ("inline ```code``` here", []),
        ("```code``` here", []),
        ("```py\r\na\r\n```\r\n", [Block("py", "a\r\n", True)]),
        ("```", [Block("", "", False)]),
    ],
)
def test_fences_are_found(text, blocks):
    assert list(fenced_blocks(text)) == blocks
