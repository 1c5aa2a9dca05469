"""`demo`: two real local models behind the router, with no key and nothing to pay."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from pointsman.commands.terminal import FAILED, OK, AsJson, complain, note, say_json
from pointsman.compare import Comparison, compare, render
from pointsman.core.errors import GatewayError
from pointsman.demo.models import DemoUnavailable, LocalModels
from pointsman.demo.requests import load_requests
from pointsman.demo.show import Shown, show
from pointsman.demo.tiers import STAND_INS
from pointsman.policies import PolicySettings
from pointsman.report_views import to_terminal

_INTERRUPTED = 130
_TTL_S = 86_400


def demo(*, json: AsJson = False) -> int:
    """Send real requests to two real local models and show what routing saved.

    Needs the extra `demo`. Takes about a minute on two cores; Ctrl-C ends it cleanly.

    Example: pointsman demo
    """
    from rich.console import Console

    console = Console(stderr=json)
    try:
        with TemporaryDirectory(prefix="pointsman-demo-") as folder:
            console.print("Starting two llama.cpp servers.")
            with LocalModels() as models:
                shown = asyncio.run(show(load_requests(), models, Path(folder), console))
    except DemoUnavailable as error:
        return complain([str(error)])
    except KeyboardInterrupt:
        note("\ninterrupted: the models are stopped, nothing is left behind")
        return _INTERRUPTED
    except GatewayError as error:
        complain([error.message])
        return FAILED
    comparison = _compared(shown)
    if json:
        say_json({"comparison": comparison, "report": shown.report})
        return OK
    console.print()
    console.rule("what each strategy would have cost", align="left")
    render(comparison)
    stand_ins = ", ".join(f"{model} as {other}" for model, other in STAND_INS.items())
    console.print(f"Costs are of the stand-ins' price lists: {stand_ins}.\n", highlight=False)
    console.rule("report", align="left")
    to_terminal(shown.report, console)
    console.print(
        "Next: `pointsman init` writes a pointsman.toml for your own providers, "
        "`pointsman serve` starts the server.",
        highlight=False,
    )
    return OK


def _compared(shown: Shown) -> Comparison:
    return compare(
        shown.records,
        snapshot=shown.snapshot,
        policies=PolicySettings(),
        aliases=("auto",),
        strategies=None,
        ttl_s=_TTL_S,
    )
