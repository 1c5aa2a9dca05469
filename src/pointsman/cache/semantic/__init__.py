"""Semantic: serve a kept answer to a prompt that is worded otherwise. Pure, and no model.

What a caller uses:

- `normal.normalised(text) -> str`: the same prompt without what never changes an answer: spaces,
  end punctuation, politeness, case. Two prompts that come out equal are one.

- `index.Index`: the prompts that are stored and what they ask.
  `find(prompt) -> Found | None`: the entry that surely answers it (`entry_id`, the `prompt` it was
  stored under, `is_edited`: by a learned edit). `add(prompt, entry_id) -> bool`: False where the
  prompt must not share its answer (time words, secrets, what is somebody's own, no English).
  `remove(entry_id)`. `near(prompt, count) -> list[Near]`: stored prompts for a judge, the most
  alike first, that agree in all hard facts. `verdict(first, second, is_same)`: what a judge, or a
  comparison of two answers, said of two prompts; two of one mind make a rule, one against it ends
  it. `withdraw(prompt, entry_id)`: the entry answered that prompt wrongly; it goes, with the rule
  that led to it. One index holds what may share answers, so one for each tenant, model, history
  and setting. It is pure and quick, and not safe for several threads.
- `guard.differs(first, second)`: the kinds of hard facts in which two prompts differ.

A prompt is read in steps: `normal`, `eligible`, `tokens`, `spelling`, `forms`
(with the rules of `frames` and `usage`), `canonical`.
Only English is understood; what is not English keeps its case and never goes further than this.
Nothing here is imported unless a semantic tier is switched on.
"""
