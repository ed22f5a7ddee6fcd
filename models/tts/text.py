"""Text to phonemes: clauses through espeak-ng, punctuation kept. The same steps as `codec-core/src/tts/phonemes.rs`."""
import os
import re
import subprocess
import unicodedata

STRESS = "ˈˌ"
# They lengthen or colour the sound before them and have no time of their own.
MODIFIERS = set("ːˑʰʲʷ̩̯̃ᵊ͡")
PUNCTUATION = ";:,.!?…—"
CLAUSE = re.compile(rf"([{re.escape(PUNCTUATION)}]+)(?=\s|$)")
SWITCH = re.compile(r"\([a-z-]+\)")


def espeak(text, language):
    """IPA of one clause; the marks of a switch of language are taken out."""
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    found = subprocess.run(["espeak-ng", "-q", "-b", "1", "--ipa", "-v", language], input=text.encode(), env=env,
                           capture_output=True, check=True).stdout.decode()
    return " ".join(SWITCH.sub("", found).replace("_", "").split())


def phonemes(text, language):
    """IPA of a sentence with its punctuation: `haloː, vɛlt.`"""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    pieces = CLAUSE.split(text)
    out = ""
    for clause, mark in zip(pieces[::2], pieces[1::2] + [""]):
        spoken = espeak(clause, language) if any(c.isalnum() for c in clause) else ""
        out += (" " if out and spoken else "") + spoken + (mark[:1] if out or spoken else "")
    return out


def units(tokens):
    """Groups of token positions that share a duration: [(position that gets it, optional)]; a sound with its modifiers,
    a pause with the blank behind it. `tokens` is a list of characters; stress marks belong to no unit."""
    found = []
    for i, c in enumerate(tokens):
        pause = c in PUNCTUATION or c in " #"
        if c in STRESS or (found and c in MODIFIERS):
            continue
        if pause and found and found[-1][1]:
            continue
        found.append((i, pause))
    return found
