"""Speed: what a request costs in pointsman, beside nginx and beside other gateways.

`python -m bench.speed` measures, prints the targets and writes `docs/performance.md`; README.md in
this folder says how it is measured and which command does what.
"""
