"""runstore: append-only run records, one file per attempt of a job, merged on read."""
