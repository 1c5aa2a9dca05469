"""Flame graphs: where each path spends its time, sampled by py-spy while the load runs.

py-spy looks at the gateway from outside, a thousand times a second, and keeps what holds Python's
lock: the work of Python and of its packages, not what waits, and not what the kernel and SQLite do
while the lock is free. It is installed into .bench-peers/ and is no dependency. The pictures are
plain SVG: a box is a function, its width its share of the samples, and it stands on its caller.

Run: python -m bench.speed.flame [--docs NAME] [--bin DIR] [--only miss,hit,stream,translated]
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from bench.speed import install, spec
from bench.speed.loads import Callee, load, wrk
from bench.speed.results import ROOT
from bench.speed.spec import Gateway, Install
from bench.speed.started import Cores, Started, started, upstream
from msgspec.structs import replace
from tests.docs.marks import write_between

DOCUMENT = ROOT / "docs" / "performance.md"
SAMPLES_A_SECOND = 1000
SECONDS = 12
PATHS = {
    "miss": "small request, cache miss",
    "hit": "cache hit",
    "stream": "stream of 100 chunks",
    "translated": "translated stream: Anthropic in, OpenAI upstream",
}
SAMPLER = Gateway(
    name="py-spy",
    title="py-spy",
    command=(),
    install=Install(tool="pip", packages=("py-spy",), version_of="py-spy"),
)
WIDTH, ROW, TOP, LETTER = 1200, 17, 46, 6.6
LEAST_PX = 1.2
OWN, PACKAGE, PYTHON = "#8fb3d9", "#f0c27b", "#d5d5d5"


@dataclass(slots=True)
class Node:
    """A function in one place of the stacks; `count`: samples in it and in what it called."""

    name: str
    count: int = 0
    children: dict[str, "Node"] = field(default_factory=dict)


def parse(lines: Iterable[str]) -> Node:
    """Return the tree of py-spy's raw lines: frames with semicolons, a blank, and a count."""
    root = Node("all")
    for line in lines:
        frames, _, count = line.rpartition(" ")
        node = root
        node.count += int(count)
        for name in map(shortened, frames.split(";")):
            node = node.children.setdefault(name, Node(name))
            node.count += int(count)
    return root


def shortened(frame: str) -> str:
    """Return `function (module)` of a frame `function (path:line)`."""
    name, _, place = frame.partition(" (")
    return f"{name} ({place.removesuffix(')').rsplit(':', 1)[0]})"


def trunk_cut(root: Node, share: float = 0.6) -> Node:
    """Return the tree without its trunk: the callers that most samples have in common.

    What branches off the trunk, such as another thread, stays and stands beside the rest.
    """
    node, beside = root, dict[str, Node]()
    while thick := [c for c in node.children.values() if c.count >= share * root.count]:
        beside |= {name: child for name, child in node.children.items() if child is not thick[0]}
        node = thick[0]
    return Node("all", root.count, {**node.children, **beside})


def boxes(
    node: Node, left: float, scale: float, depth: int = 0
) -> Iterator[tuple[str, float, float, int, int]]:
    """Yield name, left and width in pixels, depth and samples of every box that can be seen."""
    for child in sorted(node.children.values(), key=lambda it: -it.count):
        width = child.count * scale
        if width >= LEAST_PX:
            yield child.name, left, width, depth, child.count
            yield from boxes(child, left, scale, depth + 1)
        left += width


def drawn(root: Node, title: str) -> str:
    """Return the SVG of a tree; the root's children stand at the bottom."""
    found = list(boxes(root, 0.0, WIDTH / max(root.count, 1)))
    height = TOP + ROW * (1 + max((depth for _, _, _, depth, _ in found), default=0)) + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="monospace" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="20" font-size="15" font-family="sans-serif">{escape(title)}</text>',
    ]
    parts += legend()
    for name, left, width, depth, count in found:
        top = height - 22 - ROW * (depth + 1)
        share = f"{escape(name)}: {count / root.count:.1%}"
        letters = int((width - 4) / LETTER)
        label = name if len(name) <= letters else f"{name[: letters - 1]}…" if letters > 3 else ""
        parts.append(
            f'<g><title>{share}</title><rect x="{left:.1f}" y="{top}" width="{width - 0.4:.1f}" '
            f'height="{ROW - 1}" fill="{colour_of(name)}"/>'
            + (f'<text x="{left + 2:.1f}" y="{top + 12}">{escape(label)}</text>' if label else "")
            + "</g>"
        )
    least = f"{LEAST_PX / WIDTH:.1%}"
    foot = f"{root.count:,} samples that held Python's lock; boxes under {least} left out"
    parts.append(f'<text x="8" y="{height - 8}" fill="#666">{foot}</text></svg>')
    return "\n".join(parts) + "\n"


def legend() -> Iterator[str]:
    """Yield what the colours stand for."""
    owners = ((OWN, "pointsman"), (PACKAGE, "packages"), (PYTHON, "Python's library"))
    for place, (colour, what) in enumerate(owners):
        x = 8 + place * 130
        yield f'<rect x="{x}" y="28" width="11" height="11" fill="{colour}"/>'
        yield f'<text x="{x + 15}" y="38">{what}</text>'


def colour_of(name: str) -> str:
    """Return the colour of who wrote the code of `function (path)`."""
    path = name.rpartition(" (")[2].removesuffix(")")
    owner = path.partition("/")[0].removesuffix(".py")
    if owner == "pointsman":
        return OWN
    return PYTHON if owner in sys.stdlib_module_names or owner.startswith("<") else PACKAGE


def sampled(running: Started, path: str, cores: Cores, seconds: int) -> Node:
    """Return the samples of one path under load. Raises RuntimeError where py-spy fails."""
    raw = running.work / "samples"
    put_to(running, path, cores, 2)
    sampler = install.PEERS / SAMPLER.name / "venv" / "bin" / "py-spy"
    recorder = subprocess.Popen(
        [
            *(str(sampler), "record", "--pid", str(running.pid), "--gil", "--function"),
            *("--rate", str(SAMPLES_A_SECOND), "--duration", str(seconds)),
            *("--format", "raw", "--output", str(raw)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    put_to(running, path, cores, seconds + 2)
    _, told = recorder.communicate(timeout=60)
    if recorder.returncode or not raw.is_file():
        raise RuntimeError(f"py-spy: {told[-300:]}; it needs root, or the right to trace")
    return trunk_cut(parse(raw.read_text("utf-8").splitlines()))


def put_to(running: Started, path: str, cores: Cores, seconds: int) -> None:
    """Put a gateway to one path for some seconds."""
    if path in {"miss", "hit"}:
        text = running.body_text("small", is_fixed=path == "hit")
        wrk(running.callee, text, callers=16, seconds=seconds, cores=cores.load)
        return
    is_own = path == "stream"
    callee: Callee = running.callee if is_own else running.callee_at("/v1/messages")
    model = "" if is_own else running.gateway.translated_model
    text = running.body_text("stream", dialect="openai" if is_own else "anthropic", model=model)
    # Half a second each; eight at a time.
    load(callee, text, "--callers", "8", "--count", str(16 * seconds), cores=cores.load)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.flame")
    parser.add_argument("--only", default=",".join(PATHS))
    parser.add_argument("--bin", type=Path, help="folder of the program of another pointsman")
    parser.add_argument("--docs", default="", help="write docs/performance/NAME-PATH.svg")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    given = parser.parse_args(words)
    chosen = given.only.split(",")
    if unknown := [path for path in chosen if path not in PATHS]:
        parser.error(f"--only {','.join(unknown)}: no such path; there are {', '.join(PATHS)}")
    if why := install.install(SAMPLER):
        print(f"py-spy cannot be installed: {why}", file=sys.stderr)
        return 2
    gateway = spec.load(spec.OWN)["pointsman"]
    if given.bin is not None:
        gateway = replace(gateway, settings={**gateway.settings, "BIN": str(given.bin.absolute())})
    folder = ROOT / "docs" / "performance" if given.docs else Path.cwd()
    cores = Cores()
    with upstream(cores) as up:
        for path in chosen:
            with started(gateway, up, cores) as running:
                tree = sampled(running, path, cores, given.seconds)
            file = folder / f"{given.docs or 'flame'}-{path}.svg"
            file.write_text(drawn(tree, f"{PATHS[path]} ({given.docs or 'now'})"), "utf-8")
            print(f"{file}: {tree.count} samples, {file.stat().st_size / 1e3:.0f} kB")
    if given.docs:
        write_between(DOCUMENT, "<!-- flame: begin -->", "<!-- flame: end -->", section(folder))
    return 0


def section(folder: Path) -> str:
    """Return the document's part: under each path its pictures, before and after."""
    parts = []
    for path, title in PATHS.items():
        files = [folder / f"{name}-{path}.svg" for name in ("before", "after")]
        shown = [f"![{title}](performance/{file.name})" for file in files if file.is_file()]
        parts += [f"### {title[0].upper()}{title[1:]}", *shown]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
