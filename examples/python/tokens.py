#!/usr/bin/env python3
"""Codes of a recording as tokens of a language model, and back to sound as they come.

  python examples/python/tokens.py IN.wav OUT.wav

IN.wav is 16-bit mono at 24 kHz. The module comes from `./x wheel`. examples/python/tokens.ipynb does the same step by step.
"""
import argparse
import sys
import wave

import numpy as np

import siskin


def read(path, rate):
    with wave.open(path) as file:
        form = (file.getnchannels(), file.getframerate(), file.getsampwidth())
        if form != (1, rate, 2):
            sys.exit(f"{path} must be 16-bit mono at {rate} Hz")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def write(path, pcm, rate):
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("output")
    args = parser.parse_args()

    encoder = siskin.Encoder()
    pcm = read(args.input, encoder.sample_rate)
    codes = encoder.encode(pcm)
    rows, frames = codes.shape
    print(f"{len(pcm) / encoder.sample_rate:.2f} s: {rows} codes in each of {frames} frames, {encoder.frame_rate:g} frames/s")

    # A model of speech gives a column of tokens at a time; each becomes samples as soon as its frame is whole.
    stream = siskin.TokenStream("parallel", stages=encoder.stages)
    pieces = [stream.push(codes[:, [t]]) for t in range(frames)]
    pieces.append(stream.finish())
    heard = np.concatenate(pieces)
    print(f"{len(pieces[0])} samples after the first column, {len(heard)} in all")

    # The same codes at once give the same samples.
    whole = siskin.Decoder().decode(codes, length=len(pcm))
    common = min(len(whole), len(heard))
    difference = np.abs(whole[:common] - heard[:common]).max()
    print(f"largest difference from decoding at once: {difference:.1e}")
    write(args.output, heard[: len(pcm)], encoder.sample_rate)


if __name__ == "__main__":
    main()
