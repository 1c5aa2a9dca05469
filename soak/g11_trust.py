"""G11: secrets, routes, addresses, rerouting: what a server may not show, open, call or be led to.

Routes and addresses are what `make test` tries in any case; here its tests are counted.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from soak import Figure
from soak.trust import canaries
from soak.trust.echoing import BEHAVIOURS
from soak.trust.rerouting import (
    DOWN,
    HELD_OUT,
    POINTS_MAX,
    UP,
    Share,
    above_clean,
    forms,
    judged_rates,
    rates,
)

_FEWEST = 6
_GOALS = {UP: "upgrades in all", HELD_OUT: "upgrades by held-out forms", DOWN: "downgrades in all"}
_ROOT = Path(__file__).resolve().parents[1]
_COUNTED = re.compile(r"(\d+) (passed|failed|error)")


def measure(scale: float = 1.0) -> list[Figure]:
    """Return what came of all of it; `scale` takes fewer of the upstream's ways of going wrong."""
    return [
        secrets(scale),
        went("routes by every kind of key", "100%", "tests/server/test_keys.py", "each_role"),
        went("calls to inner addresses", "0", "tests/providers/test_addresses.py"),
        went("tiers and quotas passed by attacks", "0", "tests/pipeline/test_rerouting.py"),
        judged(),
        _rate("upgrades at the threshold of the clean asks (learned)", Share(0, 1), above_clean()),
        *(fooled(policy, way) for policy in ("learned", "signals") for way in _GOALS),
    ]


def secrets(scale: float) -> Figure:
    """Return in how many places a canary was found."""
    behaviours = list(BEHAVIOURS)[: max(_FEWEST, round(len(BEHAVIOURS) * scale))]
    with tempfile.TemporaryDirectory(prefix="pointsman-g11-") as folder:
        found = canaries.run(Path(folder), behaviours=behaviours)
    told = f"{len(found.leaks)} in {found.places:,} places, {found.requests:,} requests"
    if found.leaks:
        told += f"; first: {found.leaks[0][0]} in {found.leaks[0][1]}"
    return Figure("G11", "secrets shown, at DEBUG", "0", told, not found.leaks and found.calls > 0)


def went(what: str, asked: str, path: str, only: str = "test") -> Figure:
    """Return how the tests of one thing went."""
    command = [sys.executable, "-m", "pytest", "-q", path, "-k", only]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    counts = {kind: int(count) for count, kind in _COUNTED.findall(done.stdout)}
    passed = counts.get("passed", 0)
    wrong = counts.get("failed", 0) + counts.get("error", 0)
    reached = "100%" if asked == "100%" and not wrong else f"{wrong}"
    told = f"{reached} ({passed} tests passed, {wrong} did not)"
    return Figure("G11", what, asked, told, done.returncode == 0 and passed > 0)


def judged() -> Figure:
    """Return how much of the attacks the model of "learned" sends up by its own judgement."""
    without, attacked, _ = judged_rates(UP)
    return _rate("upgrades by the model itself (learned)", without, attacked)


def fooled(policy: str, way: str) -> Figure:
    """Return how much of the attacks goes the wanted way, rules of phrases and lengths included."""
    without, attacked, kinds = rates(policy, way)
    worst = ", ".join(f"{kind} {share.percent:.0f}%" for kind, share in kinds.items())
    what = f"{_GOALS[way]} ({policy}, {forms(way)} forms)"
    return _rate(what, without, attacked, f"; {worst}")


def _rate(what: str, without: Share, attacked: Share, more: str = "") -> Figure:
    told = f"{attacked.percent:.1f}% of {attacked.asks}, clean {without.percent:.1f}%{more}"
    is_met = attacked.percent <= without.percent + POINTS_MAX
    return Figure("G11", what, f"clean + {POINTS_MAX:.0f} points at most", told, is_met)
