"""The real-time video mode: layout, motion and the exported graphs against the torch model; needs torch."""
import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from export_video import decoder_graph, encoder_graph, half  # noqa: E402

from siskin_video import arch, layout  # noqa: E402


def pictures(count, side=32):
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(count, 1, s, s, generator=generator) - 0.5 for s in (side, side // 2, side // 2)]


def test_planes_come_back_from_the_layout():
    planes = pictures(2)
    quarter = layout.join(planes)
    assert quarter.shape == (2, 24, 8, 8)
    for a, b in zip(planes, layout.split(layout.unpack(layout.pack(quarter)))):
        assert torch.equal(a, b)


def test_the_transform_is_orthonormal_but_for_doubled_chroma():
    transform = layout.transform()
    size = torch.cat([torch.ones(64), torch.full((32,), 2.0)])
    assert torch.allclose(transform @ transform.T, torch.diag(size ** 2), atol=1e-5)
    # A grey block has the means alone.
    block = layout.pack(layout.join([torch.full_like(p[:, :, : p.shape[2] // 4, : p.shape[3] // 4], 0.3) for p in pictures(1)]))
    found = transform @ block[0, :, 0, 0]
    assert (found.abs() > 1e-4).nonzero().flatten().tolist() == list(arch.MEANS)


def test_motion_by_whole_samples_shifts():
    planes = pictures(1)
    motion = torch.zeros(1, 4, 4, 2)
    motion[..., 0], motion[..., 1] = 4.0, -2.0
    moved = layout.warp(planes, motion)
    assert torch.allclose(moved[0][..., 8:, :8], planes[0][..., 6:-2, 4:12], atol=1e-5)
    assert torch.allclose(moved[1][..., 4:, :4], planes[1][..., 3:-1, 2:6], atol=1e-5)


@pytest.mark.parametrize("rows,columns", [(2, 2), (4, 6)])
def test_graphs_are_the_networks(rows, columns):
    torch.manual_seed(1)
    codec = arch.Codec().eval()
    for parameter in codec.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    weights = {name: half(getattr(codec, name)) for name in ("encoder", "decoder")}
    shape = (1, arch.CHANNELS, rows, columns)
    picture, prediction = torch.rand(shape) - 0.5, torch.rand(shape) - 0.5
    quality = torch.tensor([11.0])
    condition, size = arch.condition(quality, 1), arch.step(quality) / 255
    mask = (torch.rand(1, 1, 2 * rows, 2 * columns) > 0.5).float()
    with torch.no_grad():
        latents = codec.encoder(picture, prediction, condition, 1 / size)
        wanted = codec.decoder(latents.round(), prediction, condition, size, mask)
    run = lambda model, feed: ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {k: v.numpy() for k, v in feed.items()})[0]
    one = (1, 1, 1, 1)
    found = run(encoder_graph(weights["encoder"]), {"picture": picture, "prediction": prediction, "condition": condition,
                                                    "fineness": (1 / size).view(one)})
    assert np.abs(found - latents.numpy()).max() < 2e-3
    found = run(decoder_graph(weights["decoder"]), {"latents": latents.round(), "prediction": prediction,
                                                    "condition": condition, "size": size.view(one), "mask": mask})
    assert np.abs(found - wanted.numpy()).max() < 1e-4


def test_masked_blocks_keep_their_prediction():
    codec = arch.Codec().eval()
    torch.nn.init.normal_(codec.decoder.head.weight)
    prediction = layout.pack(layout.join(pictures(1)))
    latents = torch.zeros_like(prediction)
    latents[0, 5, 0, 0] = 3
    quality = torch.tensor([20.0])
    mask = arch.changed(latents)
    with torch.no_grad():
        out = codec.decoder(latents, prediction, arch.condition(quality, 1), arch.step(quality) / 255, mask)
    change = (out - layout.unpack(prediction)).abs().amax(1)[0]
    # The block with a latent and its neighbours, at a quarter.
    assert (change[:4, :4] > 0).all() and (change[4:] == 0).all() and (change[:, 4:] == 0).all()


def test_bits_grow_with_latents():
    bits, condition = arch.Bits(), arch.condition(torch.tensor([20.0]), 1)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(1, arch.CHANNELS, 4, 4, generator=generator)
    found = [float(bits((noise * s).round(), None, condition).detach()) for s in (0, 1, 5, 20)]
    assert found == sorted(found) and found[0] > 0
