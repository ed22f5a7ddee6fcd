"""Lost frames in training, so that the decoder learns to conceal them."""
import torch

# What a decoder feeds its network while frames are missing: the last latent, weaker with every frame.
DECAY = 0.9
MEAN_BURST = 2.0


def burst_mask(rng, frames, rate):
    """Lost frames [frames] of a Gilbert-Elliott channel (Gilbert 1960) that loses `rate` of them in bursts."""
    leave = 1 / MEAN_BURST
    enter = leave * rate / (1 - rate)
    lost, state = [], rng.random() < rate
    for _ in range(frames):
        lost.append(state)
        state = rng.random() >= leave if state else rng.random() < enter
    return lost


def lose_frames(latents, rng, share):
    """Latents [B, T, D] as the decoder's network sees them when a `share` of the items loses 5 to 25 % of its frames."""
    b, t, _ = latents.shape
    source, gain = torch.arange(t).repeat(b, 1), torch.ones(b, t, 1)
    for item in range(b):
        if rng.random() >= share:
            continue
        for i, lost in enumerate(burst_mask(rng, t, rng.uniform(0.05, 0.25))):
            if lost and i > 0:
                source[item, i], gain[item, i] = source[item, i - 1], gain[item, i - 1] * DECAY
    rows = torch.arange(b)[:, None]
    return latents[rows, source.to(latents.device)] * gain.to(latents.device)
