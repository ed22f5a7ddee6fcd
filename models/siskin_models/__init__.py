"""Siskin's neural codecs: architectures, quantizers, losses, data and export."""
