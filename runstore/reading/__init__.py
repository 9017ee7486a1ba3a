"""From the files of a run to what it says: what is there, what belongs together, in which order."""
