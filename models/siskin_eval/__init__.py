"""Scores codecs on clips: clips, codecs and their peers, loss, metrics, cache, tables and plots. `models/evaluate.py` runs it."""
