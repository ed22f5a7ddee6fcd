"""Which packets of a stream are lost: independent losses, and bursts after Gilbert's two-state chain."""
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Loss:
    """A share of lost packets in 0..1, `random` or `burst` (mean `burst` packets each), and the seed."""

    share: float
    model: str = "random"
    burst: float = 3.0
    seed: int = 1

    def __post_init__(self):
        if not 0 <= self.share < 1:
            raise ValueError(f"a share of lost packets of {self.share} is not in 0..1")
        if self.model not in ("random", "burst"):
            raise ValueError(f"no loss model {self.model!r}: random or burst")
        if self.burst < 1:
            raise ValueError(f"a burst of {self.burst} packets is shorter than one")

    def __str__(self):
        return f"{100 * self.share:g} % {self.model}"

    def key(self):
        return f"{self.model}-{self.share:g}-{self.burst:g}-{self.seed}"

    def pattern(self, packets):
        """Boolean [packets], true where lost. The first packet is never lost, as it starts the stream.

        Gilbert-Elliott with certain loss in the bad state: good to bad with p = share / (burst (1 - share)), bad to
        good with 1 / burst, so that the mean share and the mean run are as asked.
        """
        rng = np.random.default_rng(self.seed)
        if self.model == "random":
            lost = rng.random(packets) < self.share
        else:
            enter, leave = self.share / (self.burst * (1 - self.share)), 1 / self.burst
            lost, bad = np.zeros(packets, bool), rng.random() < self.share
            for i, dice in enumerate(rng.random(packets)):
                bad = dice >= leave if bad else dice < enter
                lost[i] = bad
        lost[:1] = False
        return lost


def parse(text):
    """`10%`, `10%:burst` or `10%:burst:SEED` as a [`Loss`]."""
    share, *rest = text.split(":")
    try:
        value = float(share.rstrip("%")) / 100
        return Loss(value, *(rest[:1] or ["random"]), seed=int(rest[1]) if len(rest) > 1 else 1)
    except (ValueError, TypeError) as error:
        raise SystemExit(f"loss {text!r} is not like 10%, 10%:burst or 10%:burst:7: {error}") from None
