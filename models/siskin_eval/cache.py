"""Scores that were computed before, so that a new bundle does not make its peers run again.

Twice over: by what made an output (codec, clip, loss), so that nothing runs; and by the output's own samples, so that a
new program that gives the same samples runs without being scored again.
"""
import hashlib
import json
import os
from pathlib import Path


class Cache:
    """One JSON file for each codec as its fingerprint names it: {clip and loss: {name: number}}."""

    def __init__(self, folder, label, fingerprint):
        name = f"{label}-{fingerprint}"
        short = "".join(c if c.isalnum() else "-" for c in label)
        self.path = Path(folder) / f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
        try:
            self.rows = json.loads(self.path.read_text())
        except (OSError, json.JSONDecodeError):
            self.rows = {}

    @staticmethod
    def key(clip, loss):
        return f"{clip.key}/{loss.key() if loss else 'whole'}"

    @staticmethod
    def output_key(clip, pcm):
        return f"{clip.key}/{hashlib.sha256(pcm.tobytes()).hexdigest()[:24]}"

    def get(self, key, wanted):
        """The row, if it has every number that is wanted."""
        row = self.rows.get(key, {})
        return row if all(name in row for name in wanted) else None

    def put(self, key, row):
        """Keeps a row. The file is replaced in one step, so that an interrupted run loses nothing that was written."""
        self.rows.setdefault(key, {}).update(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.rows, indent=0))
        os.replace(fresh, self.path)
