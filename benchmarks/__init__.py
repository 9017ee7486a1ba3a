"""The evidence: what lorchestra and runstore cost, beside what others cost.

`python -m benchmarks` runs contestants in turn and compares them within one run, round by round, so
that a busy machine slows all of them alike. Every claim is a ratio. Nothing here is a test: what a
ratio comes to on another machine is for that machine to say.
"""
