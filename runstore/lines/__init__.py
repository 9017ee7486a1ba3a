"""What a line is: its bytes, how files are cut into lines, and whether each follows the last."""
