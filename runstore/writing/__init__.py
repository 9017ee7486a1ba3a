"""New records: the file that one thread writes, and the run that it is of."""
