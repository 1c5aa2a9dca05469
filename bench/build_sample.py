"""Write the bundled sample's figures: real outcomes of seven models, without a word of the prompts.

    python bench/build_sample.py --data DIR [--out src/pointsman/sample/figures.jsonl.gz]

DIR holds the sets that `docs/model-card.md` names. Taken are folds 0 and 1 of four of them, the
rows that `scorer.model.held_out` has not learned from. The same data gives the same bytes.
"""

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pointsman.core.features import estimate_tokens
from pointsman.core.words import count_words
from pointsman.policies import FAST_PHRASES, POWER_PHRASES
from pointsman.policies.signals import PhraseMatcher, lower_in_place
from pointsman.scorer.reading import pack_reading, read

OUT = Path(__file__).parents[1] / "src/pointsman/sample/figures.jsonl.gz"
FOLDS = (0, 1)
SETS = ("lcb_code", "zeroeval_crux", "zeroeval_gsm", "zeroeval_math")
MODELS = (
    "llama-3.1-8b-instruct",
    "claude-3-haiku-20240307",
    "gpt-4o-mini-2024-07-18",
    "llama-3.1-70b-instruct",
    "gpt-4o-2024-08-06",
    "o1-mini-2024-09-12",
    "claude-3-5-sonnet-20241022",
)
_PHRASES = PhraseMatcher((*POWER_PHRASES, *FAST_PHRASES))


def rows(data: Path) -> Iterator[dict[str, object]]:
    """Yield the rows of the sample: figures, hashes, and phrases of pointsman's own list."""
    for name in SETS:
        with gzip.open(data / name / "data.jsonl.gz", "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if row["fold"] in FOLDS:
                    yield _figures(name, row)


def _figures(source: str, row: dict[str, object]) -> dict[str, object]:
    prompt, scores, costs = str(row["prompt"]), row["scores"], row["costs"]
    assert isinstance(scores, dict) and isinstance(costs, dict)
    reading = read(prompt)
    return {
        "id": row["id"],
        "source": source,
        "group": reading.group,
        "words": count_words(prompt),
        "input_tokens": estimate_tokens(prompt),
        "signals": [signal.phrase for signal in _PHRASES.find(lower_in_place(prompt), "")],
        "reading": pack_reading(reading),
        "outcomes": {
            f"sample/{model}": {"quality": scores[model], "cost_usd": costs[model]}
            for model in MODELS
        },
    }


def main() -> None:
    """Write the file, and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    lines = [msgspec.json.encode(row) + b"\n" for row in rows(args.data)]
    args.out.write_bytes(gzip.compress(b"".join(lines), 9, mtime=0))
    print(f"{args.out}: {len(lines):,} rows, {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
