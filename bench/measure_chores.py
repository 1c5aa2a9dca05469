"""Measure the bundled chores on the two local models and write the outcomes beside their texts.

Each chore goes through the production pipeline: cache off, its tier pinned, at most 96 tokens,
temperature 0. The drafts are checked, and judged by the production validators with their default
settings. An interrupted run goes on where it stopped, and answers that are there are only checked
and judged anew; `--again` asks the models anew. A call takes about a second on two idle cores;
a busy machine makes the latencies longer.

Run: .venv/bin/python bench/measure_chores.py [--again] [--first N] [--threads N] [FILE]
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import pointsman.sample.chores as chores_module
from pointsman.asking import build_request
from pointsman.assembly import build_pipeline
from pointsman.config import Settings
from pointsman.core.features import extract
from pointsman.core.types import Answer
from pointsman.demo.models import DemoUnavailable, LocalModels, ModelName
from pointsman.demo.provider import WithoutTemplate
from pointsman.demo.tiers import FAST, demo_settings
from pointsman.ledger import LedgerSettings
from pointsman.providers.http import HttpProvider
from pointsman.router import Pipeline
from pointsman.sample.chores import Chore, Outcome, format_chores, parse_chores
from pointsman.validators import Ask, Draft, ValidationSettings, build_validators, judge

FILE = Path(chores_module.__file__).with_name("chores.jsonl")
TIERS: dict[ModelName, str] = {"gemma": "fast", "smollm2": "power"}
MAX_TOKENS = 96
SAVE_EVERY_S = 10.0
INTERRUPTED = 130
VALIDATORS = build_validators(ValidationSettings())


class Sheet:
    """The chores of a file, saved whole now and then and at the end."""

    def __init__(self, file: Path, *, is_afresh: bool) -> None:
        self._file = file
        self.chores = list(parse_chores(file.read_bytes()))
        if is_afresh:
            self.chores = [msgspec.structs.replace(chore, outcomes={}) for chore in self.chores]
        self._saved_s = time.monotonic()

    def missing(self) -> Iterator[tuple[int, ModelName]]:
        """Yield the chore's place and the model of every outcome that is not there yet."""
        for place, chore in enumerate(self.chores):
            yield from ((place, model) for model in TIERS if model not in chore.outcomes)

    def note(self, place: int, model: ModelName, outcome: Outcome) -> None:
        """Take an outcome in, and save if it is time."""
        chore = self.chores[place]
        outcomes = {name: {**chore.outcomes, model: outcome}.get(name) for name in TIERS}
        kept = {name: it for name, it in outcomes.items() if it is not None}
        self.chores[place] = msgspec.structs.replace(chore, outcomes=kept)
        if time.monotonic() - self._saved_s > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Replace the file in one step."""
        beside = self._file.with_suffix(".new")
        beside.write_bytes(format_chores(tuple(self.chores)))
        beside.replace(self._file)
        self._saved_s = time.monotonic()


async def measure(sheet: Sheet, models: LocalModels, *, first: int | None) -> None:
    """Ask for every outcome that is missing, one call at a time, and show how it goes."""
    todo = list(sheet.missing())[:first]
    settings = local_settings(models)
    template_tokens = await count_template_tokens(settings)
    provider = HttpProvider(timeouts=settings.timeouts, key_of=os.environ.get)
    call_with = {"local-1": WithoutTemplate(provider, template_tokens)}
    async with build_pipeline(settings, os.environ, providers=call_with) as pipeline:
        began_s = time.monotonic()
        for done, (place, model) in enumerate(todo, 1):
            chore = sheet.chores[place]
            outcome = await ask(pipeline, chore, model)
            sheet.note(place, model, outcome)
            left_s = (time.monotonic() - began_s) / done * (len(todo) - done)
            mark = "right" if outcome.is_right else "wrong"
            print(
                f"{done}/{len(todo)} {model:8}{mark:6} {outcome.validator:11}"
                f"{outcome.latency_ms:>6} ms {chore.id:22} {outcome.answer[:60]!r}"
                f" ({left_s / 60:.0f} min left)",
                flush=True,
            )


def local_settings(models: LocalModels) -> Settings:
    """Return the demo's settings, each tier cut at MAX_TOKENS, with a ledger in memory."""
    urls = (models["gemma"].base_url, models["smollm2"].base_url)
    settings = demo_settings(*urls, Path("unused"), at=datetime.now(UTC))
    tiers = tuple(msgspec.structs.replace(tier, max_tokens=MAX_TOKENS) for tier in settings.tiers)
    ledger = LedgerSettings(url="sqlite://")
    return msgspec.structs.replace(settings, tiers=tiers, ledger=ledger)


async def count_template_tokens(settings: Settings) -> int:
    """Return how many input tokens the weak model's server counts for an empty message."""
    request = build_request("", {"model": FAST, "max_tokens": 1, "cache": "off"})
    async with build_pipeline(settings, os.environ) as pipeline, pipeline.open(request) as stream:
        return (await stream.collect()).usage.input_tokens


async def ask(pipeline: Pipeline, chore: Chore, model: ModelName) -> Outcome:
    """Return what the model makes of the chore. Raises GatewayError."""
    request = build_request(chore.text, {"tier": TIERS[model], "cache": "off"})
    began_s = time.perf_counter()
    async with pipeline.open(request) as stream:
        answer = await stream.collect()
    latency_ms = round((time.perf_counter() - began_s) * 1000)
    return judged(pipeline, chore, as_outcome(answer, latency_ms))


def as_outcome(answer: Answer, latency_ms: int) -> Outcome:
    """Return what was counted, before the answer is looked at."""
    assert not answer.usage.is_estimated, "llama.cpp counts its tokens"
    return Outcome(
        is_right=False,
        finish_reason=answer.finish_reason,
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        latency_ms=latency_ms,
        answer=answer.content,
    )


def judged(pipeline: Pipeline, chore: Chore, outcome: Outcome) -> Outcome:
    """Return the outcome with its answer checked, and judged as the gate judges a draft."""
    request = build_request(chore.text, {})
    question = Ask(features=extract(request), decision=pipeline.decide(request))
    draft = Draft(text=outcome.answer, finish_reason=outcome.finish_reason)
    verdict = judge(VALIDATORS, draft, question)
    return msgspec.structs.replace(
        outcome, is_right=chore.accepts(outcome.answer), validator=verdict.validator
    )


async def judge_again(sheet: Sheet, models: LocalModels) -> None:
    """Check and judge every answer that is there."""
    settings = local_settings(models)
    async with build_pipeline(settings, os.environ) as pipeline:
        for place, chore in enumerate(sheet.chores):
            outcomes = {
                model: judged(pipeline, chore, outcome) for model, outcome in chore.outcomes.items()
            }
            sheet.chores[place] = msgspec.structs.replace(chore, outcomes=outcomes)


def print_rates(chores: Sequence[Chore]) -> None:
    """Print, by group, how often each model is right and how often its draft is accepted."""
    measured = [chore for chore in chores if chore.outcomes.keys() == TIERS.keys()]
    groups = dict.fromkeys(chore.group for chore in measured)
    print(f"\n{'group':10}{'n':>5}" + "".join(f"{m:>10}{'accepted':>10}" for m in TIERS))
    for group in (*groups, "all") if measured else ():
        rows = [chore for chore in measured if group in ("all", chore.group)]
        cells = ""
        for model in TIERS:
            outcomes = [chore.outcomes[model] for chore in rows]
            right = sum(it.is_right for it in outcomes) / len(outcomes)
            accepted = sum(it.is_accepted for it in outcomes) / len(outcomes)
            cells += f"{right:>10.0%}{accepted:>10.0%}"
        print(f"{group:10}{len(rows):>5}{cells}")


def main() -> int:
    """Measure, save whatever is done, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=FILE, help="default: the bundled one")
    parser.add_argument("--again", action="store_true", help="forget the outcomes that are there")
    parser.add_argument("--first", type=int, metavar="N", help="stop after N calls")
    parser.add_argument("--threads", type=int, metavar="N", help="of each model; default: cores")
    asked = parser.parse_args()
    sheet = Sheet(asked.file, is_afresh=asked.again)
    try:
        with LocalModels(threads=asked.threads) as models:
            asyncio.run(judge_again(sheet, models))
            asyncio.run(measure(sheet, models, first=asked.first))
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command without --again to go on")
        return INTERRUPTED
    except DemoUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        sheet.save()
    print_rates(sheet.chores)
    return 0


if __name__ == "__main__":
    sys.exit(main())
