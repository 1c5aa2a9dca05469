"""Region: what one process writes the others read, and a lock dies with its holder."""

import os
import signal
import sys
import threading

import pytest

from pointsman.shared import OwnMarks, Region, SharedMarks

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork"),
    pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning"),
]


def test_a_lock_keeps_other_processes_out_until_its_holder_is_killed():
    region, (told, tell) = Region(8), os.pipe()
    child = os.fork()
    if not child:
        with region.locked(3):
            region.memory[0:4] = b"seen"
            os.write(tell, b"1")
            signal.pause()
        os._exit(1)
    try:
        assert os.read(told, 1) == b"1"
        assert region.memory[0:8] == b"seen\0\0\0\0"
        with region.locked(2):
            pass  # another part
        with pytest.raises(TimeoutError), region.locked(3):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)
    with region.locked(3):
        pass


def test_a_lock_keeps_other_threads_out():
    region, seen = Region(8), []

    def work() -> None:
        for _ in range(200):
            with region.locked():
                seen.append("in")
                seen.append("out")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["in", "out"] * 600


def test_a_thing_is_marked_once_by_whichever_process_comes_first():
    marks, (told, tell) = SharedMarks(), os.pipe()
    assert marks.first("key:web", "2026-11", 0.8)
    child = os.fork()
    if not child:
        found = [marks.first("key:web", "2026-11", share) for share in (0.8, 1.0)]
        os.write(tell, bytes(found))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(told, 2) == bytes([False, True])
    os.close(told)
    os.close(tell)
    assert not marks.first("key:web", "2026-11", 1.0)
    assert marks.first("key:web", "2026-12", 1.0)


@pytest.mark.parametrize("marks", [OwnMarks(), SharedMarks()], ids=["own", "shared"])
def test_marks_are_bounded_and_the_latest_stay(marks: OwnMarks | SharedMarks):
    assert all(marks.first(number) for number in range(10_500))
    assert not any(marks.first(number) for number in range(10_100, 10_500))
