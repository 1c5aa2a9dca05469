"""Semantic: serve a kept answer to a prompt that is worded otherwise. Pure, and no model.

What a caller uses:

- `normal.normalised(text) -> str`: the same prompt without what never changes an answer: spaces,
  end punctuation, politeness, case. Two prompts that come out equal are one.

Only English is understood; what is not English keeps its case and never goes further than this.
Nothing here is imported unless a semantic tier is switched on.
"""
