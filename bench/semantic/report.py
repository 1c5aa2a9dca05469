"""Report: tables of what each policy answered, and how much of it was wrong, in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.semantic.faq import Run
from bench.semantic.streams import Replayed


@dataclass(frozen=True, slots=True)
class Stream:
    """What came of one stream: by policy, in the file's order and in shuffled ones.

    `ceiling`: the share of its prompts whose answer has come before.
    """

    name: str
    ceiling: float
    replays: Mapping[str, Replayed]
    shuffled: Mapping[str, Sequence[Replayed]]


# By file and policy: how many pairs are answered of how many, by whether they may be.
Answered = Mapping[str, Mapping[str, Mapping[bool, tuple[int, int]]]]


def summary(streams: Sequence[Stream]) -> Iterator[str]:
    """Yield the table of hits and wrong answers, a row for each policy."""
    heads = (f"{stream.name} ({stream.ceiling:.3f})" for stream in streams)
    yield f"| share of hits / wrong per hit | {' | '.join(heads)} |"
    yield f"|---|{'---|' * len(streams)}"
    for policy in streams[0].replays:
        cells = (_pair(stream.replays[policy]) for stream in streams)
        yield f"| {policy} | {' | '.join(cells)} |"
    yield ""


def details(streams: Sequence[Stream]) -> Iterator[str]:
    """Yield the table of everything that was measured, a row for each stream and policy."""
    yield (
        "| stream | policy | hits | beyond normalised | wrong | wrong per hit, at most (95%)"
        " | wrong per hit beyond normalised | wrong per hit, worst order"
        " | lookup p50 / p99, ms |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    for stream in streams:
        for policy, found in stream.replays.items():
            worst = max((one.false_per_hit for one in stream.shuffled[policy]), default=None)
            cells = (
                f"{stream.name}, {found.requests:,}",
                policy,
                f"{found.hits:,}",
                f"{found.beyond:,}",
                f"{found.false:,}",
                f"{_share(found.false_per_hit)} ({_share(found.false_per_hit_at_most)})",
                _share(found.false_per_beyond) if found.beyond else "–",
                "–" if worst is None else _share(worst),
                f"{_ms(found.took(0.5))} / {_ms(found.took(0.99))}",
            )
            yield f"| {' | '.join(cells)} |"
    yield ""


def pairs(answered: Answered) -> Iterator[str]:
    """Yield the table of single pairs: near misses that were answered, and paraphrases."""
    files = list(answered)
    heads = [f"{file}: near misses | {file}: same answer" for file in files]
    yield f"| answered of | {' | '.join(heads)} |"
    yield f"|---|{'--:|' * 2 * len(files)}"
    for policy in answered[files[0]]:
        cells = [
            "{:,} of {:,}".format(*answered[file][policy][is_same])
            for file in files
            for is_same in (False, True)
        ]
        yield f"| {policy} | {' | '.join(cells)} |"
    yield ""


def faqs(runs: Mapping[float, Sequence[Run]]) -> Iterator[str]:
    """Yield the table of an FAQ's shares of wrong answers, each over some orders of the stream."""
    yield (
        "| may be wrong, of requests | was wrong, worst order | orders within | hits"
        " | wrong per hit | hits of the best threshold | orders with 90% of its hits |"
    )
    yield "|--:|--:|--:|--:|--:|--:|--:|"
    for share, found in runs.items():
        requests = sum(run.requests for run in found)
        hits = sum(run.hits for run in found)
        cells = (
            f"{share:.0%}",
            f"{max(run.false / run.requests for run in found):.2%}",
            f"{sum(run.false <= share * run.requests for run in found)} of {len(found)}",
            f"{hits / requests:.1%}",
            f"{sum(run.false for run in found) / max(1, hits):.2%}",
            f"{sum(run.oracle_hits for run in found) / requests:.1%}",
            f"{sum(run.hits >= 0.9 * run.oracle_hits for run in found)} of {len(found)}",
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _pair(found: Replayed) -> str:
    return f"{found.hit_share:.3f} / {_share(found.false_per_hit) if found.hits else '–'}"


def _share(value: float) -> str:
    return f"{value:.4f}" if value else "0"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"
