"""Runs that are hurt at random moments and gone on with: what they leave is held against itself."""
