"""Searches for settings: what was tried, what came of it, and which settings mattered."""
