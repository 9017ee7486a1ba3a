"""The record of a run, and the plan of a pipeline, in the formats of other programs: no I/O."""
