"""The hand-written ONNX graphs against the torch model with random weights; needs torch."""

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from siskin_models.arch import Config, Decoder, Encoder, mdct, unit, zero_states  # noqa: E402
from siskin_models.export import decoder_graph, encoder_graph, half_weights  # noqa: E402
from siskin_models.losses import EnergyDistance  # noqa: E402
from siskin_models.quantizer import GroupResidualQuantizer, balanced_rotation, decode, encode  # noqa: E402

SMALL = dict(enc_width=24, dec_width=32, enc_depth=2, dec_depth=2, latent=16)
LAYOUTS = [dict(block=480, trunk=1), dict(block=240, trunk=1), dict(block=240, trunk=2),
           dict(block=480, trunk=1, noise=24), dict(block=240, trunk=2, noise=12)]


def stream(model, first, frames, shapes):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    states = {f"s{i}": np.zeros((1, *s), np.float32) for i, s in enumerate(shapes)}
    outputs = []
    for frame in frames:
        out = session.run(None, {first: frame, **states})
        named = dict(zip([o.name for o in session.get_outputs()], out))
        outputs.append(named[{"pcm": "latents", "latents": "pcm"}[first]])
        states = {k: named[k + "_next"] for k in states}
    return np.concatenate(outputs, -1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_graphs_equal_the_model(layout):
    torch.manual_seed(0)
    c = Config(**SMALL, **layout)
    encoder, decoder = Encoder(c).eval(), Decoder(c).eval()
    pcm = 0.3 * torch.randn(1, 20 * c.hop)
    with torch.no_grad():
        weights = half_weights(encoder)
        z = encoder(pcm, zero_states(encoder, 1))[0]
        got = stream(encoder_graph(c, weights, encoder.state_shapes), "pcm",
                     pcm.reshape(-1, 1, 1, c.hop).numpy(), encoder.state_shapes)
        assert np.abs(got[0].T - z[0].numpy()).max() < 1e-4
        weights = half_weights(decoder)
        y = decoder(z, zero_states(decoder, 1))[0]
        got = stream(decoder_graph(c, weights, decoder.state_shapes), "latents",
                     z[0][:, None, :, None].numpy(), decoder.state_shapes)
        assert np.abs(got[0, 0] - y[0].numpy()).max() < 1e-4


def test_noise_is_white_and_follows_from_the_latents():
    torch.manual_seed(0)
    decoder = Decoder(Config(**SMALL, noise=24))
    latents = unit(torch.randn(1, 200, 16))
    white = decoder.white(latents)[0]
    assert abs(float(white.pow(2).mean()) - 0.5) < 0.01 and (decoder.white(latents)[0] == white).all()
    power = np.abs(np.fft.rfft(white.reshape(100, -1).numpy())) ** 2
    assert 0.5 < power.mean(0)[1:-1].min() / power.mean() and power.mean(0)[1:-1].max() / power.mean() < 2
    # A change as small as a late stage's gives other noise.
    other = decoder.white(latents + 0.1 * torch.randn_like(latents))[0]
    assert abs(float((white * other).mean())) < 0.1
    with torch.no_grad():
        plain, one, two = decoder.draws(latents)
    draws = torch.stack([one - plain, two - plain])[:, 0]
    assert draws.abs().max() > 0 and abs(float(torch.corrcoef(draws)[0, 1])) < 0.05


def test_energy_distance_prefers_noise_to_a_hum():
    torch.manual_seed(0)
    noise = lambda: torch.randn(8, 24000)
    hum = torch.sin(2 * np.pi * 50 * torch.arange(24000) / 24000).sign().expand(8, -1)
    measure = EnergyDistance()
    once = noise()
    # Each of the sizes once.
    fresh, same, tonal = (sum(float(measure(noise(), torch.stack(pair))) for _ in range(4))
                          for pair in ((noise(), noise()), (once, once), (hum, hum)))
    assert fresh < 0.6 * same and same < 0.9 * tonal


@pytest.mark.parametrize("layout", LAYOUTS)
def test_torch_streaming_equals_offline(layout):
    """Chunks of any number of frames give what the whole clip gives."""
    torch.manual_seed(0)
    c = Config(**SMALL, **layout)
    for part, size in ((Encoder(c).eval(), c.hop), (Decoder(c).eval(), None)):
        x = torch.randn(1, 30 * c.hop) if size else torch.randn(1, 30, c.latent)
        step = size or 1
        with torch.no_grad():
            whole, _ = part(x, zero_states(part, 1))
            states, pieces, at = zero_states(part, 1), [], 0
            for n in (1, 4, 2, 7, 16):
                out, states = part(x[:, at * step: (at + n) * step], states)
                pieces.append(out)
                at += n
        assert (torch.cat(pieces, 1) - whole).abs().max() < 1e-5


def test_mdct_reconstructs():
    c = Config(block=240, trunk=2)
    encoder, decoder = Encoder(c), Decoder(c)
    pcm = torch.randn(1, 10 * c.hop)
    coefs, _ = mdct(pcm, torch.zeros(1, 1, c.overlap), encoder.basis, c.block)
    out, _ = decoder.synthesise(coefs, torch.zeros(1, 1, c.overlap))
    assert (out[:, c.overlap:] - pcm[:, : -c.overlap]).abs().max() < 1e-4


@pytest.mark.parametrize("groups", [1, 2])
def test_quantizer_stages_shrink_the_residual(groups):
    torch.manual_seed(0)
    data = torch.randn(4000, 8) * torch.linspace(2, 0.1, 8)
    rotation = balanced_rotation(data, groups)
    assert (rotation @ rotation.T - torch.eye(8)).abs().max() < 1e-5
    data = data @ rotation.T
    shares = data.reshape(-1, groups, 8 // groups).pow(2).sum(2).mean(0)
    assert shares.max() < 1.3 * shares.min()
    q = GroupResidualQuantizer(8, groups, stages=4, size=64)
    q.fit(data)
    codes = encode(data, q.books)
    errors = [float((data - decode(codes, q.books, n)).pow(2).mean()) for n in (1, 2, 4)]
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]
