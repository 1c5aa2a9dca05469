"""On Ray: the map over files, on a cluster, with the very function that one process runs.

Ray is the extra `ray`. $RAY_ADDRESS names a cluster, as Ray has it; without it this machine's cores
are used. Every worker must see the files at the same paths and have the same pointsman installed.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.compare.files import FileJob, Tick, play_file, size_of
from pointsman.compare.partial import Partial
from pointsman.core.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    from types import ModuleType

# Tasks handed to Ray at once: enough for a large cluster, few enough to be called back.
_AHEAD_MAX = 256


def run_files_on_ray(
    files: Sequence[Path], job: FileJob, tick: Tick = lambda _: None, *, workers: int | None = None
) -> Partial:
    """Return the sums over the files, added up in their order; equal to those of `run_files`.

    `workers`: cores of a cluster that is begun here, None for all. What still runs is called back
    when this ends early, by Ctrl-C too.

    Raises ConfigError for a file that cannot be read, or where Ray is not installed.
    """
    ray = _ray()
    whole, done = Partial(), 0
    with _cluster(ray, workers):
        play = ray.remote(_play)
        waiting: list[Any] = []
        ahead = iter(files)
        try:
            for path in files:
                while len(waiting) < _AHEAD_MAX and (next_path := next(ahead, None)) is not None:
                    waiting.append(play.remote(str(next_path.absolute()), job))
                played = ray.get(waiting[0])
                waiting.pop(0)
                if isinstance(played, str):
                    raise ConfigError(played)
                whole.merge(played)
                done += size_of(path) or 0
                tick(done)
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)
    return whole


def check_ray() -> None:
    """Raise ConfigError where Ray is not installed: before the work, not after it."""
    _ray()


def _play(path: str, job: FileJob) -> Partial | str:
    """Return a file's sums, or why it cannot be read: an error of ours does not travel well."""
    try:
        return play_file(Path(path), job)
    except GatewayError as error:
        return error.message


def _ray() -> "ModuleType":
    # Nothing is sent to Ray's makers by a run of ours, unless the user says so.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--ray needs Ray, which is not installed; pip install 'pointsman[ray]'"
        ) from error
    module: ModuleType = ray
    return module


@contextmanager
def _cluster(ray: Any, workers: int | None) -> Iterator[None]:
    """Join the cluster of $RAY_ADDRESS, or begin one here and end it after use."""
    if ray.is_initialized():
        yield
        return
    try:
        if os.environ.get("RAY_ADDRESS"):
            ray.init(log_to_driver=False, logging_level=ERROR)
        else:
            ray.init(
                num_cpus=workers,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=ERROR,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"--ray: the cluster cannot be reached or begun: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()
