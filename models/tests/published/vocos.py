"""Vocos as a decoder of EnCodec's tokens, by the authors' package."""

import torch

from . import Published
from .encodec import of_authors

BITRATES = [1_500, 3_000, 6_000, 12_000]


def of_bitrate(bitrate, own_codebooks):
    def make(folder):
        from vocos.heads import ISTFTHead
        from vocos.models import VocosBackbone

        # The encoder's bundle is made of EnCodec's own checkpoint.
        stages = 2 * bitrate // 1500
        encodec = of_authors(folder, stages=16)
        backbone = VocosBackbone(128, 384, 1152, 8, adanorm_num_embeddings=4).eval()
        head = ISTFTHead(384, 1280, 320, padding="same").eval()
        for name, parameter in [*backbone.named_parameters(), *head.named_parameters()]:
            if "norm" in name or name.endswith(("bias", "gamma")):
                parameter += torch.randn_like(parameter) * 0.2
        head.out.weight *= 3.0
        weights = torch.load(encodec.checkpoint)
        books = [weights[f"quantizer.vq.layers.{i}._codebook.embed"] for i in range(16)]
        if own_codebooks:
            # As training leaves them that moves the entries.
            books = [book + 0.1 * book.std() * torch.randn_like(book) for book in books]
        state = {"feature_extractor.codebook_weights": torch.cat(books)}
        state |= {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
        state |= {f"head.{name}": value for name, value in head.state_dict().items()}
        path = folder / "pytorch_model.bin"
        torch.save(state, path)
        codes = encodec.codes[:stages]
        features = sum(book[torch.tensor(code)] for book, code in zip(books, codes)).T[None]
        samples = head(backbone(features, bandwidth_id=torch.tensor([BITRATES.index(bitrate)])))
        kind = f"vocos:{bitrate}:{folder / 'encoder'}"
        return Published(kind, path, encodec.pcm, codes, samples[0].numpy(), encoder=encodec)

    return make


LAYOUTS = {f"{bitrate}": of_bitrate(bitrate, False) for bitrate in BITRATES} | {"own-codebooks": of_bitrate(6_000, True)}
