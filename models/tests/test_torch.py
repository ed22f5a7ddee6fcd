"""The hand-written ONNX graphs against the torch model with random weights; needs torch."""

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from siskin_models.arch import Config, Decoder, Encoder, mdct, unit, zero_states  # noqa: E402
from siskin_models.export import decoder_graph, encoder_graph, half_weights, takes_blocks  # noqa: E402
from siskin_models.losses import BandLevels, EnergyDistance, Voicing  # noqa: E402
from siskin_models.quantizer import GroupResidualQuantizer, balanced_rotation, decode, encode  # noqa: E402

SMALL = dict(enc_width=24, dec_width=32, enc_depth=2, dec_depth=2, latent=16)
LAYOUTS = [dict(block=480, trunk=1), dict(block=240, trunk=1), dict(block=240, trunk=2),
           dict(block=480, trunk=1, noise=24), dict(block=240, trunk=2, noise=12), dict(block=480, trunk=1, harmonics=4),
           dict(block=480, trunk=1, noise=24, harmonics=8), dict(block=480, trunk=1, noise=24, skip=1)]


def stream(model, first, signal, frame, frames):
    """Runs a graph on `signal` [1, D, n] `frames` frames at a time, each of `frame` values."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    states = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs() if i.name != first}
    outputs = []
    for at in range(0, signal.shape[2], frames * frame):
        out = session.run(None, {first: signal[:, :, at: at + frames * frame], **states})
        named = dict(zip([o.name for o in session.get_outputs()], out))
        outputs.append(named[{"pcm": "latents", "latents": "pcm"}[first]])
        states = {k: named[k + "_next"] for k in states}
    return np.concatenate(outputs, -1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_graphs_equal_the_model(layout):
    torch.manual_seed(0)
    c = Config(**SMALL, **layout)
    encoder, decoder = Encoder(c).eval(), Decoder(c).eval()
    for part in (encoder, decoder):
        if c.skip:  # begins with nothing
            torch.nn.init.normal_(part.skip.weight, std=0.1)
    pcm = 0.3 * torch.randn(1, 20 * c.hop)
    with torch.no_grad():
        weights = half_weights(encoder)
        z = encoder(pcm, zero_states(encoder, 1))[0]
        graph = encoder_graph(c, weights, encoder.state_shapes)
        # Cuts that leave frames over at the end, and all at once.
        for frames in (1, 3, 20):
            got = stream(graph, "pcm", pcm[None].numpy(), c.hop, frames)
            assert np.abs(got[0].T - z[0].numpy()).max() < 1e-4
        weights = half_weights(decoder)
        y = decoder(z, zero_states(decoder, 1))[0]
        graph = decoder_graph(c, weights, decoder.state_shapes)
        for frames in (1, 3, 20) if takes_blocks(c, "decoder") else (1,):
            got = stream(graph, "latents", np.ascontiguousarray(z.numpy().transpose(0, 2, 1)), 1, frames)
            assert np.abs(got[0, 0] - y[0].numpy()).max() < 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_convolutions_state_what_onnx_lets_graphs_leave_out(layout):
    # rten takes the number of dimensions from these attributes, and refuses graphs without them.
    c = Config(**SMALL, **layout)
    for module, graph in ((Encoder(c), encoder_graph), (Decoder(c), decoder_graph)):
        model = graph(c, half_weights(module), module.state_shapes)
        convolutions = [{a.name: list(a.ints) for a in node.attribute} for node in model.graph.node if node.op_type == "Conv"]
        assert convolutions
        for stated in convolutions:
            count = len(stated["kernel_shape"])
            assert (stated["pads"], stated["strides"], stated["dilations"]) == ([0] * 2 * count, [1] * count, [1] * count)
            assert stated["kernel_shape"][-1] > 1


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


def voiced(pitch=200.0, seconds=1.0, top=1200.0):
    """Decoded speech as the source of overtones hears it: a voice of which only the low harmonics are left, [1, samples]."""
    t = torch.arange(int(seconds * 24000) // 480 * 480) / 24000
    return sum(torch.sin(2 * torch.pi * pitch * n * t + n) / n for n in range(1, int(top / pitch) + 1))[None] * 0.1


def source(pcm, c):
    """The overtones of a waveform with every gain at one."""
    part = Decoder(c).harmonics
    with torch.no_grad():
        part.mix.weight.zero_(), part.gain.weight.zero_(), part.gain.bias.zero_()
        x = torch.zeros(1, pcm.shape[1] // c.hop, c.dec_width)
        return part(pcm, x, *(torch.zeros(1, *s) for s in part.state_shapes))[0]


def test_overtones_lie_on_the_harmonics_far_above_what_was_decoded():
    c = Config(**SMALL, harmonics=8)
    out = source(voiced(200.0), c)[0, 4800:]
    power = torch.fft.rfft(out * torch.hann_window(len(out))).abs().pow(2)
    freq = torch.fft.rfftfreq(len(out), 1 / 24000)
    for low, high in ((2000, 3000), (3000, 5000)):
        inside = (freq > low) & (freq < high)
        on = ((freq / 200 - (freq / 200).round()).abs() * 200 < 10) & inside
        # Between the harmonics of a voice that stands still there is nothing.
        assert power[on].sum() > 1000 * power[inside & ~on].sum()
        assert power[inside].sum() > 1e-4 * power.sum()


def test_overtones_of_silence_are_silence_and_levels_do_not_matter():
    c = Config(**SMALL, harmonics=8)
    assert source(torch.zeros(1, 4800), c).abs().max() == 0
    loud, soft = source(voiced(), c), source(voiced() / 10, c)
    assert (loud - soft).pow(2).mean() < 1e-3 * loud.pow(2).mean()


@pytest.mark.parametrize("number", [2, 6])
def test_shapers_come_in_fours(number):
    with pytest.raises(ValueError, match="multiples of 4"):
        Decoder(Config(**SMALL, harmonics=number))


def test_overtones_begin_at_the_levels_of_the_noise():
    decoder = Decoder(Config(**SMALL, noise=24, harmonics=8))
    decoder.harmonics.follow(decoder.level, 20.0)
    x = torch.randn(3, SMALL["dec_width"])
    assert (decoder.level(x) - decoder.harmonics.gain(x) - np.log(10)).abs().max() < 1e-5


def test_what_is_heard_of_losses_of_timbre():
    """Levels know a band that is too soft; voicing knows noise in place of overtones, whatever its level."""
    torch.manual_seed(0)
    whole = voiced(180.0, 1.0, top=6000.0).repeat(2, 1)
    levels, voicing = BandLevels(), Voicing()
    assert levels(whole, whole) < 1e-3 and voicing(whole, whole) < 1e-3
    half = torch.fft.rfft(whole)
    half[:, half.shape[1] // 6:] *= 0.5  # from 2 kHz on
    duller = torch.fft.irfft(half, whole.shape[1])
    assert levels(whole, duller) > 0.1 and voicing(whole, duller) < 0.02
    low = voiced(180.0, 1.0, top=1200.0).repeat(2, 1)
    noise = torch.randn_like(low) * (whole - low).pow(2).mean().sqrt()
    assert voicing(whole, low + noise) > 0.2
    assert torch.isfinite(voicing(torch.zeros(1, 9600), torch.randn(1, 9600)))
