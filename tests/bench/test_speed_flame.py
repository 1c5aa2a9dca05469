"""Flame graphs: from sampled stacks to a picture."""

from xml.etree import ElementTree as Xml

from bench.speed.flame import OWN, PACKAGE, PYTHON, boxes, colour_of, drawn, parse, trunk_cut

LINES = (
    "main (pointsman/cli.py:1);run (asyncio/runners.py:5);a (pointsman/a.py:2) 60",
    "main (pointsman/cli.py:1);run (asyncio/runners.py:5);b (aiohttp/b.py:2);c <x> (b.py:3) 20",
    "run (threading.py:9) 20",
)


def test_samples_add_up_along_the_stack():
    root = parse(LINES)
    assert root.count == 100
    run = root.children["main (pointsman/cli.py)"].children["run (asyncio/runners.py)"]
    assert (run.count, sorted(run.children)) == (80, ["a (pointsman/a.py)", "b (aiohttp/b.py)"])


def test_the_trunk_is_cut_and_other_threads_stay():
    cut = trunk_cut(parse(LINES), share=0.7)
    assert {name: child.count for name, child in cut.children.items()} == {
        "a (pointsman/a.py)": 60, "b (aiohttp/b.py)": 20, "run (threading.py)": 20,
    }  # fmt: skip
    assert cut.count == 100


def test_boxes_stand_side_by_side_on_their_caller():
    found = {
        name: (left, width, depth) for name, left, width, depth, _ in boxes(parse(LINES), 0.0, 1.0)
    }
    assert found["main (pointsman/cli.py)"] == (0.0, 80.0, 0)
    assert found["run (threading.py)"] == (80.0, 20.0, 0)
    assert found["b (aiohttp/b.py)"] == (60.0, 20.0, 2)


def test_a_picture_is_xml_with_a_box_for_each_function():
    picture = Xml.fromstring(drawn(parse(LINES), "a < b"))  # noqa: S314 - drawn here
    titles = [title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert "a (pointsman/a.py): 60.0%" in titles
    assert "c <x> (b.py): 20.0%" in titles


def test_colours_tell_whose_code_it_is():
    assert colour_of("a (pointsman/a.py)") == OWN
    assert colour_of("b (aiohttp/b.py)") == PACKAGE
    assert colour_of("run (threading.py)") == colour_of("run (asyncio/runners.py)") == PYTHON
    assert colour_of("<module> (<string>)") == PYTHON
