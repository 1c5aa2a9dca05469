"""Views: what training came to, for a person to read; figures in brackets are 95% intervals."""

from collections.abc import Iterator, Sequence

from pointsman.scorer.calibration import GroupCalibration
from pointsman.training.contest import IN_USE, LENGTH, NEW, Ranking
from pointsman.training.course import Course
from pointsman.training.metrics import Figure


def show_course(course: Course) -> str:
    """Return the whole of a course as text, all but whether it was installed."""
    return "\n".join(_blocks(course))


def align(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return rows below their heads in columns two blanks apart, the first one to the left."""
    table = [heads, *lines]
    widths = [max(len(line[column]) for line in table) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def share(figure: Figure | None) -> str:
    """Return a share of one in per cent with its interval, "-" where it is not known."""
    if figure is None or figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.1%}"
    return f"{figure.value:.1%} [{figure.low:.1%}, {figure.high:.1%}]"


def number(figure: Figure | None) -> str:
    """Return a figure of three decimals with its interval, "-" where it is not known."""
    if figure is None or figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _blocks(course: Course) -> Iterator[str]:
    alone = f"; {course.one_sided:,} more tell of one tier alone" if course.one_sided else ""
    yield (
        f"{course.labels:,} labels from {course.data}: {course.fitted_on:,} to fit on (in"
        f" {course.seconds:.1f} s), {course.held_out:,} held out by a hash{alone}"
    )
    known = zip(course.models, course.qualities, strict=True)
    yield "mean quality held out: " + ", ".join(f"{model} {mean:.3f}" for model, mean in known)
    yield ""
    heads = ("on what was held out", "APGR", "saved at 95%*", "quality kept**", "saved**")
    yield align(heads, [_ranking_line(ranking) for ranking in course.rankings])
    yield "* in hindsight, strongest and cheapest tier  ** as the policy would route"
    if course.tuning.certificate is not None:
        yield (
            "the thresholds of the new one were found on these very labels: what holds on other"
            " traffic is the certificate's floor, not its figures here"
        )
    yield (
        f"{NEW} is ahead of {LENGTH} in {course.beats_length:.0%} of the bootstrap draws, of the"
        f" scorer {IN_USE} in {course.beats_in_use:.0%}"
    )
    yield ""
    yield align(("group", "fitted on", "held out", "head"), _group_lines(course))
    yield ""
    for group in course.groups_proven:
        yield _proof_line(group, course)
    if course.left_out:
        yield f"{course.left_out:,} labels, which some tier cannot serve, are left out"
    yield course.certificate_note


def _ranking_line(ranking: Ranking) -> tuple[str, ...]:
    return (
        ranking.name,
        number(ranking.apgr),
        share(ranking.saving95),
        share(ranking.quality_kept),
        share(ranking.saving),
    )


def _group_lines(course: Course) -> list[tuple[str, ...]]:
    return [
        (
            group.name,
            f"{group.labels:,}",
            f"{group.held_out:,}",
            "fitted" if group.is_fitted else "as shipped",
        )
        for group in course.groups
    ]


def _proof_line(group: GroupCalibration, course: Course) -> str:
    if group.threshold is not None:
        return (
            f"{group.group}: certified up to a predicted loss of {group.threshold:.3f}; on the"
            f" {group.labels:,} held-out labels {group.share_down:.0%} leave the strongest tier,"
            f" which saves {group.saving_estimated:.0%} and keeps"
            f" {group.quality_kept_estimated:.1%} of its quality (both estimated)"
        )
    if group.labels_needed is None:
        return (
            f"{group.group}: no floor of {course.floor:.0%} can be proven at what its"
            f" {group.labels:,} held-out labels show: all go to the strongest tier"
        )
    stays = (
        "it keeps the prior"
        if group.group in course.tuning.labels_needed
        else ("all go to the strongest tier")
    )
    return (
        f"{group.group}: {group.labels:,} held-out labels prove nothing yet, {stays}; about"
        f" {group.labels_needed:,} more held-out labels ({_in_all(group.labels_needed):,} in all,"
        " of which 40% are held out) are needed"
    )


def _in_all(held_out: int) -> int:
    return -(-held_out * 10 // 4)
