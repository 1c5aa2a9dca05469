"""Workers: what two workers serve, to what one serves.

With four cores or more the load has cores of its own, and the ratio is measured. With fewer, the
load takes its part of the very cores that the workers need; then each side's CPU per request is
measured, and the ratio is reckoned for workers that have two cores to themselves:
`2 * cpu_of_one / cpu_of_two * balance`, where balance is the mean CPU of the workers over that of
the busiest one. What the kernel shares between cores, such as memory bandwidth, is in the CPU
times; what waits without CPU, such as locks between the workers, shows as unused cores.

Each worker has as many callers: fewer would have it work on fewer requests at a time, and what is
done once for several (a commit of the ledger, a round of the loop) would cost each of them more.

python -m bench.speed.workers [--seconds 5] [--rounds 3]

prints the ratio of nginx, the limit, and of pointsman, in turn.
"""

import argparse
import os
from collections.abc import Mapping

from bench.speed import processes, spec
from bench.speed.loads import wrk
from bench.speed.phases import Pace
from bench.speed.spec import Gateway
from bench.speed.started import Cores, NotStarted, Started, Upstream, started, upstream

CALLERS_A_WORKER = 32

# By the gateway's name: what makes it one worker, and two.
SETTINGS: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "nginx": ({}, {"PROCESSES": "worker_processes 2;"}),
    "pointsman": ({"SERVER": "workers = 1"}, {"SERVER": "workers = 2"}),
}


def main() -> None:
    """Measure each gateway that can have two workers, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.speed.workers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    gateways = spec.load(spec.OWN)
    with upstream(Cores()) as up:
        for number in range(chosen.rounds):
            for name in SETTINGS:
                found, told = ratio(gateways[name], up, Pace(load_s=chosen.seconds))
                shown = "-" if found is None else f"{found:.2f}x"
                print(f"[{number + 1}] {name}: {shown} ({told})", flush=True)


def ratio(gateway: Gateway, up: Upstream, pace: Pace) -> tuple[float | None, str]:
    """Return how much more two workers serve than one, and how that was found."""
    cores = os.cpu_count() or 1
    has_own = cores >= 4
    one_at = Cores((0,), (2, 3) if has_own else (1,))
    two_at = Cores((0, 1), (2, 3) if has_own else (0, 1))
    for_one, for_two = SETTINGS[gateway.name]
    try:
        one = _served(gateway, up, pace, one_at, for_one)
        two = _served(gateway, up, pace, two_at, for_two)
    except NotStarted as error:
        return None, str(error)
    if has_own:
        return two["rps"] / one["rps"], "measured, the load on two other cores"
    return reckoned(one, two), (
        f"reckoned, for the load shares the two cores: {one['cpu_ms']:.3f} and"
        f" {two['cpu_ms']:.3f} ms of CPU a request, balance {two['balance']:.2f}"
    )


def reckoned(one: Mapping[str, float], two: Mapping[str, float]) -> float:
    """Return the ratio from CPU per request and from how evenly the workers worked."""
    return 2 * one["cpu_ms"] / two["cpu_ms"] * two["balance"]


def _served(
    gateway: Gateway, up: Upstream, pace: Pace, cores: Cores, settings: Mapping[str, str]
) -> dict[str, float]:
    """Return requests a second, CPU ms per request, and the workers' balance, 0.5 to 1."""
    with started(gateway, up, cores, settings) as running:
        text = running.body_text("small")
        wrk(running.callee, text, callers=16, seconds=pace.warm_s, cores=cores.load)
        before = _cpu_by_process(running)
        callers = CALLERS_A_WORKER * len(cores.gateway)
        seen = wrk(running.callee, text, callers=callers, seconds=pace.load_s, cores=cores.load)
        after = _cpu_by_process(running)
    spent = sorted((after[pid] - before.get(pid, 0.0) for pid in after), reverse=True)
    busiest = spent[: len(cores.gateway)]
    if seen.errors or not seen.answered:
        raise NotStarted(f"{dict(settings)}: {seen.errors} errors, {seen.answered} answers")
    return {
        "rps": seen.answered / (seen.us / 1e6),
        "cpu_ms": sum(spent) * 1e3 / seen.answered,
        "balance": sum(busiest) / len(busiest) / busiest[0],
    }


def _cpu_by_process(running: Started) -> dict[int, float]:
    return {pid: processes.process_cpu_s(pid) for pid in processes.tree(running.pid)}


if __name__ == "__main__":
    main()
