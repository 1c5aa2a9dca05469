from itertools import product
from math import comb, prod
from random import Random

import pytest

from pointsman.scorer.bounds import clopper_pearson, fewest_wins, final_wealth

ERROR = 0.1


def wealth(values: list[float] | tuple[float, ...], error: float = ERROR) -> float:
    return final_wealth(values, error=error, loss_max=0.95, win=0.05)


# Values and their chances; the mean is 0, where the test is nearest to its error.
FAIR = {
    "rare losses": {0.05: 0.95, -0.95: 0.05},
    "losses and wins": {0.05: 0.6, 0.0: 0.2, -0.95: 0.117, 1.0: 0.08115},
    "even": {0.5: 0.5, -0.5: 0.5},
    "rare wins": {-0.05: 20 / 21, 1.0: 1 / 21},
    "fractions": {0.35: 0.25, 0.05: 0.25, -0.1: 0.25, -0.3: 0.25},
}


@pytest.mark.parametrize("name", FAIR)
def test_the_chances_of_a_fair_game_sum_to_one_and_the_mean_is_zero(name: str):
    game = FAIR[name]
    total = sum(game.values())
    assert total == pytest.approx(1, abs=2e-3)
    assert sum(value * chance for value, chance in game.items()) / total == pytest.approx(0)


@pytest.mark.parametrize("labels", [1, 2, 6])
@pytest.mark.parametrize("error", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", FAIR)
def test_over_all_sequences_a_fair_game_reaches_the_goal_within_the_error(
    name: str, error: float, labels: int
):
    game = FAIR[name]
    total = sum(game.values())
    reached = sum(
        prod(game[value] / total for value in values)
        for values in product(game, repeat=labels)
        if wealth(values, error) >= 1
    )
    assert reached <= error + 1e-9


@pytest.mark.parametrize("labels", [50, 400])
@pytest.mark.parametrize("name", FAIR)
def test_long_fair_games_reach_the_goal_within_the_error(name: str, labels: int):
    rng = Random(f"{name} {labels}")
    values, chances = list(FAIR[name]), list(FAIR[name].values())
    draws = 1_500 if labels < 100 else 500
    reached = sum(wealth(rng.choices(values, chances, k=labels)) >= 1 for _ in range(draws))
    assert clopper_pearson(reached, draws, confidence=0.999)[0] <= ERROR


def test_a_good_mean_is_found_almost_as_soon_as_by_a_test_that_knows_the_variance():
    game = {0.75: 0.35, 0.05: 0.415, -0.95: 0.235}
    mean = sum(value * chance for value, chance in game.items())
    variance = sum(value * value * chance for value, chance in game.items()) - mean * mean
    labels, draws = 1_000, 200
    assert 2.9 < mean * (labels / variance) ** 0.5 < 3.0  # that test rejects at 1.28: power 0.95
    rng = Random(1)
    found = sum(
        wealth(rng.choices(list(game), list(game.values()), k=labels)) >= 1 for _ in range(draws)
    )
    assert found >= 0.9 * draws


def test_wealth_gone_is_gone_and_not_an_error():
    assert 0 <= wealth([-0.95] * 500) < 1e-99
    assert wealth([-0.95] * 500 + [1.0] * 500) < 1


def test_without_values_the_wealth_is_the_first_one():
    assert wealth([]) == ERROR


@pytest.mark.parametrize(("floor", "error"), [(0.95, 0.1), (0.95, 0.01), (0.8, 0.1), (0.99, 0.1)])
def test_the_fewest_wins_are_enough_and_one_less_is_not(floor: float, error: float):
    count = fewest_wins(error=error, loss_max=floor, win=1 - floor)
    reach = [
        final_wealth([1 - floor] * labels, error=error, loss_max=floor, win=1 - floor)
        for labels in (count - 1, count)
    ]
    assert reach[0] < 1 <= reach[1]


# As printed in tables of exact 95% limits.
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (8, 10, 0.4439, 0.9748)],
)
def test_clopper_pearson_agrees_with_printed_tables(
    successes: int, trials: int, low: float, high: float
):
    interval = clopper_pearson(successes, trials, confidence=0.95)
    assert interval == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize("trials", [1, 10, 100, 10_000])
def test_clopper_pearson_without_successes_or_failures_has_its_closed_form(trials: int):
    high = 1 - 0.025 ** (1 / trials)
    assert clopper_pearson(0, trials, confidence=0.95) == pytest.approx((0, high), abs=1e-9)
    assert clopper_pearson(trials, trials, confidence=0.95) == pytest.approx(
        (1 - high, 1), abs=1e-9
    )


@pytest.mark.parametrize(("successes", "trials"), [(1, 3), (7, 50), (40, 90), (200, 1_000)])
def test_each_end_of_clopper_pearson_is_where_the_binomial_tail_is_half_the_error(
    successes: int, trials: int
):
    low, high = clopper_pearson(successes, trials, confidence=0.9)

    def at_most(count: int, chance: float) -> float:
        return sum(
            comb(trials, it) * chance**it * (1 - chance) ** (trials - it) for it in range(count + 1)
        )

    assert at_most(successes, high) == pytest.approx(0.05, abs=1e-9)
    assert 1 - at_most(successes - 1, low) == pytest.approx(0.05, abs=1e-9)


def test_clopper_pearson_knows_nothing_without_trials_and_refuses_nonsense():
    assert clopper_pearson(0, 0, confidence=0.9) == (0, 1)
    with pytest.raises(ValueError, match="3 of 2 trials"):
        clopper_pearson(3, 2, confidence=0.9)
