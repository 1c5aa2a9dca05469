"""What ships: a wheel that anybody can build again, byte for byte, with nothing hidden in it."""

import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("pyproject.toml", "README.md", "LICENSE", ".gitignore")
DATA = {
    ".bin",
    ".gz",
    ".jinja",
    ".json",
    ".jsonl",
    ".LICENSE",
    ".toml",
    ".typed",
    ".html",
    ".js",
    ".css",
}


def wheel(folder: Path) -> Path:
    """Build a wheel from a copy of the sources made just now, with times of its own."""
    folder.mkdir()
    for name in NEEDED:
        shutil.copyfile(ROOT / name, folder / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignored, copy_function=shutil.copyfile)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (made,) = (folder / "dist").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel(tmp_path_factory.mktemp("wheel") / "first")


def test_a_wheel_is_the_same_when_it_is_built_again(built, tmp_path):
    assert wheel(tmp_path / "elsewhere").read_bytes() == built.read_bytes()


def test_a_wheel_holds_the_package_and_nothing_that_runs_by_itself(built):
    with ZipFile(built) as archive:
        names = archive.namelist()
    tops = {PurePosixPath(name).parts[0] for name in names}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"pointsman", info}
    code = [PurePosixPath(name) for name in names if name.startswith("pointsman/")]
    assert {path.suffix for path in code} <= {".py", *DATA}
    assert not [name for name in names if name.endswith((".pth", ".so", ".pyc"))]


def test_every_module_is_in_the_wheel_as_it_stands_here(built):
    with ZipFile(built) as archive:
        shipped = {n: archive.read(n) for n in archive.namelist() if n.startswith("pointsman/")}
    modules = {p.relative_to(ROOT / "src").as_posix(): p for p in (ROOT / "src").rglob("*.py")}
    assert {name for name in shipped if name.endswith(".py")} == set(modules)
    assert all(shipped[name] == path.read_bytes() for name, path in modules.items())


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_every_pin_has_hashes(name):
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", "")
    pins = [line for line in text.splitlines() if line and not line.startswith(("#", "-"))]
    assert pins
    assert not [pin.split()[0] for pin in pins if "==" not in pin or "--hash=sha256:" not in pin]


def test_there_are_no_more_direct_dependencies_than_promised(built):
    with ZipFile(built) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(name).decode().splitlines()
    wanted = [
        line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert 0 < len(wanted) <= 12
