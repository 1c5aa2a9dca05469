"""Time `predict_need`, one prompt a call, by length: python bench/time_scorer.py.

Told are all calls, and the best of each prompt's calls, which says more where neighbours share the
machine. Prompts are made of common words, with numbers and marks as in prose.
"""

from random import Random
from time import perf_counter

from pointsman.scorer import predict_need
from pointsman.scorer.model import shipped

WORDS = """
the a of to and in for with that this is are was how many what which each if then when value number
list return write explain find all every more than total price team data result test function string
order first last between both under over rate time day year people work system answer question
example change small large cost sum three seven often without
"""
MARKS = (".", ",", "?", ":", " (12)", " = 4", '"', "\n")
PROMPTS, CALLS = 100, 15


def a_prompt(rng: Random, chars: int) -> str:
    """Return words with a mark after every sixth or so, cut to a length."""
    text, words = "", WORDS.split()
    while len(text) < min(chars, 5_000):
        text += rng.choice(words) + (rng.choice(MARKS) if rng.random() < 0.15 else "") + " "
    return (text * (chars // len(text) + 1))[:chars]


def main() -> None:
    """Print the median and the 99th percentile for each length."""
    began_at = perf_counter()
    shipped()
    predict_need(["warm"])
    print(f"first use: {1e3 * (perf_counter() - began_at):.0f} ms")
    rng = Random(0)
    for chars in (300, 1_400, 4_000, 100_000):
        every, best = [], []
        for prompt in [a_prompt(rng, chars) for _ in range(PROMPTS)]:
            took = []
            for _ in range(CALLS):
                start = perf_counter()
                predict_need([prompt])
                took.append(1e6 * (perf_counter() - start))
            every += took
            best.append(min(took))
        told = []
        for times in (every, best):
            times.sort()
            told.append(f"p50 {times[len(times) // 2]:.0f} p99 {times[len(times) * 99 // 100]:.0f}")
        print(f"{chars:>7,} characters: {told[0]} us; best calls {told[1]} us")


if __name__ == "__main__":
    main()
