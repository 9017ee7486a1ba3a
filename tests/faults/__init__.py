"""What the store survives: one module for each goal, each with a figure that it prints.

A module `goal_NN_name.py` has `TITLE` (what is promised), `NEEDS` (what the machine must offer, see
`harness.needs`), and `run(scale)`, which makes the faults, asserts that nothing was lost, and gives
a `Result`. `pytest tests/faults -s` runs them at reduced counts and prints the figures;
`python -m tests.faults --full --write` runs the full counts and writes the table of
docs/reliability.md.
"""
