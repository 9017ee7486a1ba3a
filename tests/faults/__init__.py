"""What the store survives: one module for each goal, each with a figure that it prints.

A module `goal_NN_name.py` has `TITLE` (what is promised), `run(scale)`, which makes the faults and
gives a `Result`, and where it needs something of the machine `NEEDS`, which tells why it cannot
run. `pytest tests/faults -s` runs them at reduced counts and prints the figures;
`python -m tests.faults --full --write` runs the full counts and writes the table of
docs/reliability.md.
"""
