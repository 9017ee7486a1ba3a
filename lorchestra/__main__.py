"""Where the command line starts; `python -m lorchestra` is the same program."""
