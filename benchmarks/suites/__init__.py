"""What is compared: one module a question, each with `run(bench)`, which gives its comparisons."""
