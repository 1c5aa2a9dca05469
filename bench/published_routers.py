"""What others have published on the sets of `bench/quality.py`, each figure with its source."""

from dataclasses import dataclass

MMLU, GSM8K, MT_BENCH = "routellm_mmlu", "routellm_gsm8k", "routellm_mtbench"

_PAPER = "arXiv 2406.18665"
_READ = "noted from the source, November 2026"
_MEMORY = "from memory, checked in part: look it up before quoting it"
_UNTRACED = "noted without its place: not to be quoted"


@dataclass(frozen=True, slots=True)
class Published:
    """One router on one whole set, with the pair Mixtral-8x7B and GPT-4-1106-preview.

    apgr, cpt50, cpt80: 0..1, None where we have no figure.  labels: of this very set, as far as
    known.  checked: how the figure came here.
    """

    name: str
    router: str
    labels: str
    apgr: float | None
    cpt50: float | None
    cpt80: float | None
    source: str
    checked: str


PUBLISHED = (
    Published(
        name=MMLU,
        router="RouteLLM, the best of each column",
        labels="about 1,500, and arena data",
        apgr=0.603,
        cpt50=0.354,
        cpt80=0.703,
        source=_PAPER,
        checked=_READ,
    ),
    Published(
        name=MMLU,
        router="RouteLLM, the best on arena data alone",
        labels="0",
        apgr=0.52,
        cpt50=None,
        cpt80=None,
        source=_PAPER,
        checked=_READ,
    ),
    Published(
        name=GSM8K,
        router="RouteLLM, causal LLM of 8B",
        labels="0; arena and judge data",
        apgr=0.62,
        cpt50=0.336,
        cpt80=None,
        source=_PAPER,
        checked=_MEMORY,
    ),
    Published(
        name=GSM8K,
        router="RouteLLM, causal LLM of 8B, run again by others",
        labels="0; arena and judge data",
        apgr=0.631,
        cpt50=0.328,
        cpt80=None,
        source="an independent rerun",
        checked=_UNTRACED,
    ),
    Published(
        name=GSM8K,
        router="RAGRouter of 7B",
        labels="not known",
        apgr=0.695,
        cpt50=None,
        cpt80=None,
        source="its README, its own run",
        checked=_READ,
    ),
    Published(
        name=MT_BENCH,
        router="RouteLLM, matrix factorisation",
        labels="0; arena and judge data",
        apgr=0.802,
        cpt50=0.134,
        cpt80=None,
        source=_PAPER,
        checked=_READ,
    ),
    Published(
        name=MT_BENCH,
        router="RouteLLM, BERT",
        labels="0; arena and judge data",
        apgr=0.751,
        cpt50=None,
        cpt80=None,
        source=_PAPER,
        checked=_MEMORY,
    ),
)
