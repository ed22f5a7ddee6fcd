"""Scores that were computed before, so that a new bundle does not make its peers run again."""
import hashlib
import json
import os
from pathlib import Path


class Cache:
    """One JSON file for each codec as its fingerprint names it: {clip and loss: {name: number}}."""

    def __init__(self, folder, codec):
        name = f"{codec.label}-{codec.fingerprint()}"
        short = "".join(c if c.isalnum() else "-" for c in codec.label)
        self.path = Path(folder) / f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
        try:
            self.rows = json.loads(self.path.read_text())
        except (OSError, json.JSONDecodeError):
            self.rows = {}

    @staticmethod
    def key(clip, loss):
        return f"{clip.key}/{loss.key() if loss else 'whole'}"

    def get(self, clip, loss, wanted):
        """The row, if it has every number that is wanted."""
        row = self.rows.get(self.key(clip, loss), {})
        return row if all(name in row for name in wanted) else None

    def put(self, clip, loss, row):
        """Keeps a row. The file is replaced in one step, so that an interrupted run loses nothing that was written."""
        self.rows.setdefault(self.key(clip, loss), {}).update(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.rows, indent=0))
        os.replace(fresh, self.path)
