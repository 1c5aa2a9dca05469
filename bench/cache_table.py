"""Replay labelled prompts through the cache's tiers and through thresholds of cosine.

    python -m bench.cache_table --data DIR --model FILE --tokenizer FILE [--docs docs/cache.md]

DIR has streams as `bench/semantic/streams.py` reads them. The model's files are all-MiniLM-L6-v2's
as `onnx_embedder` pins them, unless digests are given. A wrong answer is a hit whose answer is
another's. With `--docs` the tables go into that file between their marks, the picture beside it.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.semantic import faq, report
from bench.semantic.picture import draw
from bench.semantic.policies import Embed, policies, timed
from bench.semantic.report import Stream
from bench.semantic.streams import (
    MakePolicy,
    Pair,
    Row,
    answered,
    ceiling,
    read_pairs,
    read_streams,
    replay,
    shuffled,
)
from tests.docs.marks import write_between

from pointsman.cache.semantic.onnx_embedder import (
    MINILM_SHA256,
    MINILM_TOKENIZER_SHA256,
    OnnxEmbedder,
    OnnxFiles,
)

BEGIN, END = "<!-- cache table: begin -->", "<!-- cache table: end -->"
PICTURE = "cache-table.svg"


def main(arguments: Sequence[str] | None = None) -> None:
    args = _parsed(arguments)
    streams, pairs = read_streams(args.data), read_pairs(args.data)
    embedder = OnnxEmbedder(
        OnnxFiles(args.model, args.tokenizer, args.model_sha256, args.tokenizer_sha256)
    )
    embed = timed(lambda text: embedder.embed_here([text])[0])
    for rows in streams.values():  # before the replays, so that none is slower for being the first
        for row in rows:
            embed(row.prompt)
    found = policies(embed)
    coarse = {name: streams.pop(name) for name in args.faq.split(",") if name in streams}
    played = [
        _played(name, rows, found, args.orders) for name, rows in {**streams, **coarse}.items()
    ]
    tables = "\n".join(_tables(played, _answered(pairs, found), coarse, embed, args))
    print(tables)
    if args.docs:
        write_between(args.docs, BEGIN, END, tables)
        draw(played, args.docs.with_name(PICTURE))


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of streams and pairs")
    parser.add_argument("--model", type=Path, required=True, help="a sentence model as ONNX")
    parser.add_argument("--tokenizer", type=Path, required=True, help="its tokenizer.json")
    parser.add_argument("--model-sha256", default=MINILM_SHA256)
    parser.add_argument("--tokenizer-sha256", default=MINILM_TOKENIZER_SHA256)
    parser.add_argument("--docs", type=Path, help="write tables and picture into this document")
    parser.add_argument("--orders", type=int, default=5, help="shuffled replays of each stream")
    parser.add_argument("--faq", default="banking_faq", help="streams that are FAQs, by commas")
    parser.add_argument("--faq-orders", type=int, default=20, help="shuffled replays of an FAQ")
    return parser.parse_args(arguments)


def _played(name: str, rows: Sequence[Row], found: Mapping[str, MakePolicy], orders: int) -> Stream:
    replays, others = {}, {}
    for policy, make in found.items():
        replays[policy] = replay(make, rows)
        others[policy] = [replay(make, shuffled(rows, seed)) for seed in range(orders)]
        print(f"{name}: {policy}", file=sys.stderr)
    return Stream(name, ceiling(rows), replays, others)


def _answered(
    pairs: Mapping[str, Sequence[Pair]], found: Mapping[str, MakePolicy]
) -> report.Answered:
    return {
        name: {policy: answered(make, rows) for policy, make in found.items()}
        for name, rows in pairs.items()
    }


def _tables(
    played: Sequence[Stream],
    pairs: report.Answered,
    coarse: Mapping[str, Sequence[Row]],
    embed: Embed,
    args: argparse.Namespace,
) -> Iterator[str]:
    yield ""
    yield from report.summary(played)
    yield f"![hits and wrong answers of each policy]({PICTURE})"
    yield ""
    if pairs:
        yield from report.pairs(pairs)
    for name, rows in coarse.items():
        yield f"{name}, {len(rows):,} requests in each of {args.faq_orders} orders:"
        yield ""
        shares = {
            share: list(faq.runs(rows, embed, share, args.faq_orders)) for share in faq.SHARES
        }
        yield from report.faqs(shares)
    yield f"Everything; the worst order is that of {args.orders} shuffles:"
    yield ""
    yield from report.details(played)


if __name__ == "__main__":
    main()
