import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pointsman.cache.semantic.vectors import NearestVectors

SIZE = 8


def unit(seed: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)
    return vector / np.linalg.norm(vector)


steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 9)), max_size=60)


@given(steps=steps, entries_max=st.integers(1, 6), asked=st.integers(100, 110))
def test_it_finds_what_a_list_of_the_last_entries_would_find(steps, entries_max, asked):
    vectors = NearestVectors(entries_max)
    model: dict[bytes, NDArray[np.float32]] = {}
    for number, (what, name) in enumerate(steps):
        entry_id = b"%d" % name
        was_there = model.pop(entry_id, None) is not None
        if what == "add":
            vectors.add(entry_id, unit(number))
            model[entry_id] = unit(number)
            if len(model) > entries_max:
                del model[next(iter(model))]
        else:
            assert vectors.remove(entry_id) == was_there
    assert len(vectors) == len(model)
    assert all(entry_id in vectors for entry_id in model)
    cosines = {entry_id: float(vector @ unit(asked)) for entry_id, vector in model.items()}
    expected = sorted(cosines, key=lambda entry_id: -cosines[entry_id])
    for count_max in (1, 3, 20):
        found = vectors.nearest(unit(asked), cosine_min=-1.1, count_max=count_max)
        assert [entry_id for entry_id, _ in found] == expected[:count_max]
        assert dict(found) == pytest.approx({k: cosines[k] for k in expected[:count_max]}, abs=1e-6)


def test_nothing_below_the_cosine_asked_for_is_found():
    vectors = NearestVectors()
    vectors.add(b"x", np.array([1, 0], np.float32))
    near = np.array([0.8, 0.6], np.float32)
    assert dict(vectors.nearest(near, cosine_min=0.79)) == pytest.approx({b"x": 0.8})
    assert vectors.nearest(near, cosine_min=0.81) == []


def test_an_entry_is_found_again_after_the_rows_have_grown():
    vectors = NearestVectors()
    for number in range(1_000):
        vectors.add(b"%d" % number, unit(number))
    for number in (0, 63, 64, 999):
        assert vectors.nearest(unit(number), cosine_min=0.99)[0][0] == b"%d" % number


@pytest.mark.parametrize(
    "vector",
    [np.zeros(SIZE, np.float32), np.ones(SIZE + 1, np.float32), np.zeros(0, np.float32)],
    ids=["no length", "another size", "no numbers"],
)
def test_a_vector_that_says_nothing_is_not_kept_and_has_no_neighbours(vector):
    vectors = NearestVectors()
    vectors.add(b"x", unit(1))
    vectors.add(b"y", vector)
    assert b"y" not in vectors
    assert vectors.nearest(vector, cosine_min=-1.1) == []
    vectors.add(b"x", vector)
    assert len(vectors) == 0
