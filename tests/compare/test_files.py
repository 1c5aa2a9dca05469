"""Many files are read apart and added up: in one process or on Ray, the figures are the same."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from tests.compare.builders import LOGS, TIERS

from pointsman.compare import LeftOut
from pointsman.compare.files import FileJob, find_files, play_file, run_files
from pointsman.compare.on_ray import check_ray
from pointsman.compare.openai_jsonl import read_openai_jsonl
from pointsman.compare.partial import Partial
from pointsman.compare.simulate import Job, compare, conclude
from pointsman.core.errors import ConfigError

JOB = FileJob(job=Job(snapshot=TIERS, aliases=("auto",), ttl_s=3_600.0), is_one_of_many=True)


def line(number: int) -> str:
    model = ("small", "middle", "big")[number % 3]
    body = {"messages": [{"role": "user", "content": f"explain {number % 7}"}]}
    usage = {"prompt_tokens": 50 + number, "completion_tokens": 1 + number * 7 % 90}
    reply = {
        "created": 1_793_000_000 + number,
        "model": model,
        "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}],
        "usage": usage,
    }
    return json.dumps({"request": body, "response": reply, "latency_ms": 100 + number})


def labelled_line(number: int) -> str:
    scores = {"acme/small": number % 2, "acme/middle": 0.5, "acme/big": 1}
    costs = {"acme/small": 0.001, "acme/middle": 0.002, "acme/big": 0.01 + number / 1e4}
    return json.dumps({"prompt": f"explain {number}", "scores": scores, "costs": costs})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in range(4):
        lines = [line(number) for number in range(name * 5, name * 5 + 12)]
        if name == 3:
            lines = ["broken", *(labelled_line(number) for number in range(9))]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_log_in_one_file_is_the_log(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(map(line, range(40))) + "\n")
    from_file = conclude(
        run_files([log], msgspec.structs.replace(JOB, is_one_of_many=False)), JOB.job
    )
    with log.open("rb") as file:
        records = read_openai_jsonl(file, LeftOut())
        assert from_file == compare(records, snapshot=TIERS, aliases=("auto",), ttl_s=3_600)


def test_parts_may_be_added_up_in_groups(folder):
    files = find_files([folder])
    parts = [[play_file(path, JOB) for path in files] for _ in range(2)]
    one_by_one, in_groups, late = Partial(), Partial(), Partial()
    for part in parts[0]:
        one_by_one.merge(part)
    for part in parts[1][:2]:
        in_groups.merge(part)
    for part in parts[1][2:]:
        late.merge(part)
    in_groups.merge(late)
    first, second = conclude(one_by_one, JOB.job), conclude(in_groups, JOB.job)
    for row, other in zip(first.rows, second.rows, strict=True):
        assert (row.cost_nanousd, row.requests_by_tier) == (
            other.cost_nanousd,
            other.requests_by_tier,
        )
        assert row.quality_share == pytest.approx(other.quality_share)
        assert row.quality_interval == pytest.approx(other.quality_interval)
        assert (row.latency_p95_ms, row.cache_hits) == (other.latency_p95_ms, other.cache_hits)
    assert first.log == second.log


def test_every_file_has_a_cache_of_its_own(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(line(0) + "\n" + line(0) + "\n")
    whole = run_files(find_files([tmp_path]), JOB)
    rows = {row.strategy: row for row in conclude(whole, JOB.job).rows}
    assert rows["all-power + cache"].cache_hits == 2


def test_the_progress_goes_up_to_the_end(folder):
    told: list[int] = []
    files = find_files([folder])
    run_files(files, JOB, told.append)
    assert told == sorted(told) and told[-1] == sum(path.stat().st_size for path in files)


def test_what_is_left_out_names_its_file(folder):
    (named,) = run_files(find_files([folder]), JOB).left_out.named
    assert named.startswith("3.jsonl, line 1: is not JSON")


def test_a_file_named_twice_is_read_once(folder):
    assert len(find_files([folder, folder / "0.jsonl"])) == 4


def test_only_what_is_not_older_is_taken(folder):
    job = msgspec.structs.replace(JOB, begin_s=1_793_000_010.0)
    assert run_files(find_files([folder]), job).facts["compared"] == 2 + 7 + 12


def test_without_ray_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'pointsman\[ray\]'"):
        check_ray()


# In a process of its own: Ray's own warnings are not ours to turn into errors, and its cluster
# goes with the process whatever happens.
ON_RAY = """
import sys
from pathlib import Path
import msgspec
from tests.compare.test_files import JOB, LOGS
from pointsman.compare.files import find_files, run_files
from pointsman.compare.on_ray import run_files_on_ray
from pointsman.compare.simulate import conclude
from pointsman.core.errors import ConfigError

if __name__ == "__main__":
    files = find_files([Path(sys.argv[1])])
    told = []
    spread = conclude(run_files_on_ray(files, JOB, told.append, workers=2), JOB.job)
    alone = conclude(run_files(files, JOB), JOB.job)
    assert msgspec.json.encode(spread) == msgspec.json.encode(alone), (spread, alone)
    assert alone.log.compared == 45, alone.log
    assert told == sorted(told) and len(told) == 4, told
    try:
        run_files_on_ray([Path(sys.argv[1], "gone.jsonl")], JOB, workers=1)
    except ConfigError as error:
        print(error.message)
"""


@pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")
@pytest.mark.timeout(300)
def test_two_workers_on_ray_come_to_what_one_process_comes_to(folder):
    ran = subprocess.run(
        [sys.executable, "-c", ON_RAY, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        cwd=LOGS.parents[2],
    )
    assert ran.returncode == 0, ran.stderr
    assert 'gone.jsonl": cannot be read' in ran.stdout
