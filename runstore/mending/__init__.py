"""Repair: what can be saved of damaged files, put in their place beside the originals."""
