"""What keeps a store small: runs folded into one file, old runs removed, sizes counted."""
