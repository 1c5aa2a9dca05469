"""Notes: a comparison in words: one sentence to take away, and footnotes without which it misleads.

Each footnote is there only when it applies.
"""

from collections.abc import Iterator

import msgspec

from pointsman.compare.calls import OUTPUT_TOKENS_ASSUMED
from pointsman.compare.comparison import NOT_KNOWN, Comparison, LogFacts, StrategyRow
from pointsman.compare.conversations import LIFETIME_S
from pointsman.compare.latency import SAMPLE_MAX
from pointsman.compare.staged import ACCEPTED_QUALITY_MIN
from pointsman.compare.strategies import CASCADE, FIXED, LEARNED, ORACLE, SINGLE

_ONE = (FIXED, SINGLE)  # strategies that ask nothing of a request


def annotated(
    comparison: Comparison, *, sentence: str, is_repriced: bool, is_trained: bool
) -> Comparison:
    """Return the comparison with its summary and notes.

    `sentence` says whether routing pays, "" where nothing tells: then cost alone is summed up.
    `is_trained`: `learned` decides with a scorer of the user's own.
    """
    return msgspec.structs.replace(
        comparison,
        summary=sentence or _summary(comparison),
        notes=(
            *_training_notes(comparison, is_trained=is_trained),
            *_notes(comparison, is_repriced=is_repriced),
        ),
    )


def _summary(comparison: Comparison) -> str:
    named = [row for row in comparison.rows if row.strategy != comparison.baseline]
    chosen = (row for row in named if not row.is_at_equal_cost and not row.policy.startswith(_ONE))
    parts = [_against_baseline(row, comparison) for row in [*chosen] or named]
    if not comparison.log.labelled:
        unknown = f"quality not measured: {comparison.quality_note}"
        parts.append(f"whether routing pays is not known, {unknown}")
    return "; ".join(parts)


def _against_baseline(row: StrategyRow, comparison: Comparison) -> str:
    if row.cost_share is None:
        if row.cost_nanousd is not None and comparison.baseline_cost_nanousd == 0:
            return f"{row.strategy} has no percentage, for {comparison.baseline} costs nothing"
        return f"what {row.strategy} would have cost against {comparison.baseline} is not known"
    is_estimated = row.is_cost_estimated or comparison.is_baseline_estimated
    about = "about " if is_estimated else ""
    change = round(100 * (row.cost_share - 1))
    if change == 0:
        return f"{row.strategy} would have cost {about}the same as {comparison.baseline}"
    direction = "less" if change < 0 else "more"
    share = f"{abs(change)}% {direction} than {comparison.baseline}"
    return f"{row.strategy} would have cost {about}{share}"


def _training_notes(comparison: Comparison, *, is_trained: bool) -> Iterator[str]:
    if is_trained and comparison.log.labelled and comparison.proof_of == LEARNED:
        yield (
            "learned decides with the scorer that `pointsman train` installed: if it learned from"
            " these labels, its row is flattered; `pointsman evaluate --held-out` shows it on those"
            " kept apart."
        )


def _notes(comparison: Comparison, *, is_repriced: bool) -> Iterator[str]:
    log, rows = comparison.log, comparison.rows
    if comparison.what_if:
        yield (
            f"What if: tiers, prices and routing are those of {comparison.what_if},"
            " not the configured ones."
        )
    if is_repriced and log.not_repriced:
        yield (
            f"{_count(log.not_repriced, 'measured cost')} came without tokens, and stay as they"
            " were measured, whatever the prices here."
        )
    yield from _quality_notes(comparison)
    yield from _yardstick_notes(comparison)
    if any(row.is_cost_estimated for row in rows):
        yield (
            "~ is an estimate. Where a strategy calls a model that the log did not call, its answer"
            " is taken to be as long as the logged one, its input to have as many tokens and as"
            " large a share from the provider's prompt cache. The report instead prices all input"
            " at the plain rate, so its figures for the same requests can differ."
        )
    if log.compared > log.measured:
        yield (
            f"{_of(log.compared - log.measured, log)} have no usage in the log: their tokens are"
            " counted from the text, about four bytes each, which errs by a third either way."
        )
    if log.without_answer:
        yield (
            f"{_of(log.without_answer, log)} have no answer in the log: {OUTPUT_TOKENS_ASSUMED}"
            " output tokens are assumed, fewer where the request allows fewer."
        )
    yield from _conversation_notes(comparison)
    yield from _latency_notes(comparison)
    yield from _cache_notes(comparison)
    yield from _decision_notes(comparison)
    yield from _left_out_notes(comparison)
    yield (
        "Each request is priced as one call to the first model of its tier that can serve it, at"
        " the prices in force now: fallbacks, escalations and failed attempts are not in here"
        f"{', except in cascade' if _has(comparison, CASCADE) else ''}."
    )


def _quality_notes(comparison: Comparison) -> Iterator[str]:
    log, rows = comparison.log, comparison.rows
    if not log.labelled:
        return
    if comparison.quality_note == NOT_KNOWN:
        yield (
            f"{_of(log.labelled, log)} have labels, but not of the models shown here and of"
            f" {comparison.baseline}'s: quality is not known."
        )
        return
    yield (
        f"Quality is the mean of the labels, 0 to 1; the 95% interval is of the ratio to"
        f" {comparison.baseline}'s on the same requests, by the delta method on running sums."
    )
    if log.compared > log.labelled:
        yield f"{_of(log.compared - log.labelled, log)} have no labels: costs count them too."
    short = [row for row in rows if row.unlabelled and not row.undecided]
    if short:
        named = ", ".join(f"{row.strategy} {row.labelled:,}" for row in short)
        yield (
            "Quality counts only requests with an outcome both for the row's model and for"
            f" {comparison.baseline}'s; of {log.labelled:,}: {named}."
        )


def _yardstick_notes(comparison: Comparison) -> Iterator[str]:
    rows = comparison.rows
    if _has(comparison, SINGLE):
        is_labelled = any(
            row.quality_share is not None for row in rows if row.policy.startswith(SINGLE)
        )
        why = (
            "best labelled, the cheaper of equals"
            if is_labelled
            else ("cheapest of the strongest tier, for nothing tells how good it is")
        )
        yield f"The best single model is {comparison.best_single}: the {why}."
    even = [row for row in rows if row.is_at_equal_cost]
    if even:
        yield (
            f"At equal cost: what {comparison.reference} costs, spent on the strongest tier by"
            " chance (the expected value), on the longest last turns first, or where the step up"
            " costs least, which only hindsight knows; all else on the weaker tier that serves the"
            " way best. Latency is not worked out; switching within a conversation costs nothing"
            " there."
        )
    if _has(comparison, CASCADE):
        yield (
            "cascade: every attempt counts. A draft goes by the recorded verdict of the checks;"
            f" where there is none, a quality of {ACCEPTED_QUALITY_MIN} passes, as if a check never"
            " erred: an upper bound."
        )
    if _has(comparison, ORACLE):
        yield "oracle knows every outcome beforehand: no router can do better with these tiers."


def _conversation_notes(comparison: Comparison) -> Iterator[str]:
    log = comparison.log
    if not log.in_conversation:
        return
    yield (
        f"{_of(log.in_conversation, log)} are turns of a conversation: a tool's result goes back to"
        " the model that asked for it. Where a strategy keeps its model from the call before, no"
        f" more than {LIFETIME_S / 60:.0f} minutes ago, it reads as much from the provider's prompt"
        " cache as was logged; where it has just switched, all input is sent anew."
    )


def _has(comparison: Comparison, spec: str) -> bool:
    return any(row.policy.startswith(spec) for row in comparison.rows)


def _latency_notes(comparison: Comparison) -> Iterator[str]:
    rows = [row for row in comparison.rows if not row.is_at_equal_cost]
    if any(row.is_latency_estimated and row.latency_mean_ms is not None for row in rows):
        yield (
            "A latency with ~ is worked out from the speed of the strategy's own models as this log"
            " shows it: an overhead and so many ms per output token."
        )
    if any(row.latency_mean_ms is None for row in rows):
        yield "A latency of - means that the log never measured a model which the strategy calls."
    elif comparison.log.compared > SAMPLE_MAX:
        yield f"p95 is read from a fair sample of up to {SAMPLE_MAX:,} latencies; means are exact."


def _cache_notes(comparison: Comparison) -> Iterator[str]:
    log = comparison.log
    if not any(row.has_cache for row in comparison.rows):
        return
    yield "A cache hit counts as costing nothing and taking 0 ms."
    if any(row.cache == "canonical" for row in comparison.rows):
        yield (
            "The canonical cache is played without the rules that it would learn from answers: its"
            " hits are too few."
        )
    yield from _wrong_notes(comparison)
    if log.without_prompt:
        yield "Where the log has no prompts, the cache hits are those that were booked."
    if log.without_text:
        yield f"{_of(log.without_text, log)} come without their text: the cache finds none of them."
    if log.without_time:
        yield f"{_of(log.without_time, log)} have no time: there, answers in the cache never age."
    if log.keys_dropped:
        yield f"The simulated caches were full {log.keys_dropped:,} times: hits may be too few."


def _wrong_notes(comparison: Comparison) -> Iterator[str]:
    rows = [row for row in comparison.rows if row.judged_hits]
    hits = max((row.cache_hits for row in comparison.rows), default=0)
    if not rows:
        if hits:
            yield (
                "Whether a hit was the right answer is not known: the log has no answers, nor an"
                " `answer_id`, equal where one answer is right."
            )
        return
    if any(not row.is_wrong_estimated for row in rows):
        yield "A hit is wrong where the kept answer has another `answer_id` than the request."
    if any(row.is_wrong_estimated for row in rows):
        yield (
            "Where answers have no `answer_id`, a hit counts as wrong if the log has another text"
            " as the request's own answer, case, spaces and end aside: an estimate that is too"
            " high, as a model words one answer in many ways. What the exact cache has of these is"
            " that alone, and the same for all tiers."
        )


def _decision_notes(comparison: Comparison) -> Iterator[str]:
    log, rows = comparison.log, comparison.rows
    readers = [
        row.strategy for row in rows if not row.policy.startswith(_ONE) and not row.is_at_equal_cost
    ]
    if log.without_prompt and readers:
        yield (
            f"{_of(log.without_prompt, log)} come without their prompts, which the ledger does not"
            f" keep: {', '.join(readers)} repeat the decision that was booked then."
        )
    for row in rows:
        if row.undecided:
            yield (
                f"{row.strategy}: {_of(row.undecided, log)} were decided by another policy or for a"
                " tier that is gone, and have no prompt to decide by: the cost is not known."
            )
        if row.unpriced:
            yield (
                f"{row.strategy}: {_of(row.unpriced, log)} go to a model without a known price;"
                ' add it under [prices."provider/model"].'
            )
    if log.loops_unplaced and readers:
        yield (
            f"{_of(log.loops_unplaced, log)} bring back a tool's result: they are decided anew"
            " here, where the router stays on the model that began the loop."
        )


def _left_out_notes(comparison: Comparison) -> Iterator[str]:
    log = comparison.log
    if log.unserved:
        yield f"{_count(log.unserved, 'request')} left out: no configured model can serve them."
    if log.lines_left_out:
        more = log.lines_left_out - len(log.lines_named)
        tail = f"; and {more:,} more" if more else ""
        yield f"{_count(log.lines_left_out, 'line')} left out: {'; '.join(log.lines_named)}{tail}."
    if log.attempts_left_out:
        ends = ", ".join(f"{count:,} {end}" for end, count in log.attempts_left_out.items())
        yield f"Attempts that gave no answer are left out: {ends}."


def _of(count: int, log: LogFacts) -> str:
    return f"{count:,} of {_count(log.compared, 'request')}"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
