"""Transforms with backward passes of their own against what PyTorch makes of the plain formulas; needs torch."""
import pytest

torch = pytest.importorskip("torch")

from siskin_models.arch import Config, Decoder, mdct, mdct_basis, mdct_window  # noqa: E402
from siskin_models.transforms import Analysis, Atoms, Depthwise, Power, Spectrum  # noqa: E402


def agree(mine, plain, inputs):
    """Values and gradients are equal to rounding."""
    assert mine.shape == plain.shape and (mine - plain).abs().max() < 1e-4 * plain.abs().max()
    weights = torch.randn_like(plain.real if plain.is_complex() else plain)
    gradients = [torch.autograd.grad(((torch.view_as_real(y).sum(-1) if y.is_complex() else y) * weights).sum(), inputs,
                                     retain_graph=True) for y in (mine, plain)]
    for a, b in zip(*gradients):
        assert (a - b).abs().max() < 1e-4 * b.abs().max()


@pytest.mark.parametrize("n, overlap", [(480, 240), (240, 240), (64, 16)])
def test_the_mdct_by_fft_is_that_of_the_matrix(n, overlap):
    torch.manual_seed(0)
    basis, window = mdct_basis(n, overlap), mdct_window(n, overlap).float()
    frames, coefs = torch.randn(2, 3, n + overlap, requires_grad=True), torch.randn(2, 3, n, requires_grad=True)
    agree(Analysis.apply(frames, window, n), frames @ basis.t(), (frames,))
    agree(Atoms.apply(coefs, window), coefs @ basis, (coefs,))
    pcm, tail = torch.randn(2, 5 * n), torch.randn(2, 1, overlap)
    for mine, plain in zip(mdct(pcm, tail, basis, n, window), mdct(pcm, tail, basis, n)):
        assert (mine - plain).abs().max() < 1e-4


@pytest.mark.parametrize("samples", [512, 1000])
def test_spectra_and_their_powers(samples):
    torch.manual_seed(0)
    pcm, window = torch.randn(3, samples, requires_grad=True), torch.hann_window(128)
    plain = torch.stft(pcm, 128, 64, window=window, center=False, return_complex=True).transpose(1, 2)
    mine = Spectrum.apply(pcm, window)
    agree(mine, plain, (pcm,))
    agree(Power.apply(mine), torch.view_as_real(plain).pow(2).sum(-1), (pcm,))


def test_depthwise_convolution():
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*s, requires_grad=True) for s in ((2, 20, 8), (7, 8), (8,)))
    plain = torch.nn.functional.conv1d(x.transpose(1, 2), weight.t()[:, None], bias, groups=8).transpose(1, 2)
    agree(Depthwise.apply(x, weight, bias), plain, (x, weight, bias))


def test_training_sees_what_the_graphs_give():
    torch.manual_seed(0)
    decoder = Decoder(Config(enc_width=24, dec_width=32, enc_depth=2, dec_depth=2, latent=16, noise=24))
    latents = torch.randn(2, 10, 16)
    with torch.no_grad():
        by_fft, by_matrix = decoder.train().draws(latents)[0], decoder.eval().draws(latents)[0]
    assert (by_fft - by_matrix).abs().max() < 1e-4
