"""The corpus's pieces give back the same samples or say what is wrong; its table counts what is in it."""
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

import pack  # noqa: E402
import table  # noqa: E402


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    rng = np.random.default_rng(3)
    loud, quiet = rng.integers(-32768, 32768, 60_000), rng.integers(-40, 40, 90_000)
    np.concatenate([loud, quiet]).astype("<i2").tofile(folder / "corpus.i16")
    rows = [row("kokoro", "af_nova", "test", 0, 60_000), row("kajongg", "de-male1", "train", 60_000, 90_000)]
    (folder / "index.json").write_text(json.dumps(rows))
    return folder


def row(source, speaker, split, offset, samples, kind="speech"):
    return {"source": source, "speaker": speaker, "file": "a.wav", "kind": kind, "split": split, "offset": offset,
            "samples": samples}


def test_pieces_are_small_enough_and_give_back_the_same_samples(cache, tmp_path):
    pieces, back = tmp_path / "pieces", tmp_path / "back"
    index = pack.pack(cache, pieces, limit=40_000)
    assert len(index["pieces"]) > 3
    assert all(p.stat().st_size <= 40_000 for p in pieces.glob("*.flac"))
    pack.unpack(pieces, back)
    assert (back / "corpus.i16").read_bytes() == (cache / "corpus.i16").read_bytes()
    assert json.loads((back / "index.json").read_text()) == json.loads((cache / "index.json").read_text())


def test_a_damaged_or_missing_piece_is_named_and_leaves_nothing(cache, tmp_path):
    pieces, back = tmp_path / "pieces", tmp_path / "back"
    pack.pack(cache, pieces, limit=40_000)
    piece = pieces / "corpus-001.flac"
    good = piece.read_bytes()
    piece.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(SystemExit, match="corpus-001.flac is damaged"):
        pack.unpack(pieces, back)
    piece.unlink()
    with pytest.raises(SystemExit, match="corpus-001.flac is missing"):
        pack.unpack(pieces, back)
    assert not list(back.glob("corpus*"))


def test_an_index_that_does_not_fit_its_pieces_is_refused(cache, tmp_path):
    pieces = tmp_path / "pieces"
    index = pack.pack(cache, pieces, limit=40_000)
    index["pieces"] = index["pieces"][1:]
    (pieces / "index.json").write_text(json.dumps(index))
    with pytest.raises(SystemExit, match="the index says"):
        pack.unpack(pieces, tmp_path / "back")


def test_table_counts_hours_languages_and_the_share_of_music():
    hour = table.RATE * 3600
    rows = [row("tuxpaint-stamps-default", "pt_BR", "train", 0, hour), row("klettres-data", "nds", "train", 0, hour),
            row("wesnoth-1.16-music", "x", "train", 0, 2 * hour, "music"), row("mine", "me", "test", 0, hour)]
    text = table.table(rows)
    assert "| klettres-data | train | 1.00 | 1 | 1 | nds | GPL-2+ |" in text
    assert "| mine (folder) | test | 1.00 | 1 | 1 |  | see its folder |" in text
    assert "- train: 2.00 h of speech, 2 speakers or groups, 2 languages (nds pt); 2.00 h of music, 50.0 % of the whole." in text
