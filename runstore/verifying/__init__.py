"""The proof of a store: every file held against itself and against what others say of it."""
