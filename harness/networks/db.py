"""DB: ResNet-50, a feature pyramid and a head that says for each pixel whether it is text (guide 003).

Layer plan and state-dict keys are those of the published network (Liao et al., arXiv:1911.08947, in the implementation
that guide 003 names), without the branch that only its training uses.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from harness.networks.resnet import ResNet50

INNER = 256
LEVELS = (5, 4, 3, 2)
"""Of the pyramid, smallest first; level n is 1/2**n of the picture."""
UNUSED = ("backbone.fc.*", "backbone.smooth.*", "decoder.thresh.*")
"""What a published checkpoint holds beside the network: two layers that nothing uses, and what only training does."""
OFFSETS = "backbone.*.conv2_offset.*"
"""What says where a deformable convolution looks."""


class Enlarge(nn.Module):
    """Each pixel as a square of ``scale`` x ``scale`` pixels."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        # The size is worked out from the features' own, as older exporters did: guide 003 rewrites the graph for it.
        size = [side * self.scale for side in features.shape[2:]]
        return nn.functional.interpolate(features, size=size)


class SegDetector(nn.Module):
    """Features at 1/4, 1/8, 1/16 and 1/32 -> probabilities at the size of the picture."""

    def __init__(self, channels: list[int], inner: int) -> None:
        super().__init__()
        thin = inner // 4
        self.up = Enlarge(2)
        for level in LEVELS:
            self.add_module(f"in{level}", nn.Conv2d(channels[level - 2], inner, 1, bias=False))
            smooth = nn.Conv2d(inner, thin, 3, padding=1, bias=False)
            enlarged = nn.Sequential(smooth, Enlarge(2 ** (level - 2)))
            self.add_module(f"out{level}", smooth if level == LEVELS[-1] else enlarged)
        self.binarize = nn.Sequential(
            nn.Conv2d(inner, thin, 3, padding=1, bias=False),
            nn.BatchNorm2d(thin),
            nn.ReLU(),
            nn.ConvTranspose2d(thin, thin, 2, 2),
            nn.BatchNorm2d(thin),
            nn.ReLU(),
            nn.ConvTranspose2d(thin, 1, 2, 2),
            nn.Sigmoid(),
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        pyramid: list[Tensor] = []
        for level in LEVELS:
            lateral: Tensor = self.get_submodule(f"in{level}")(features[level - 2])
            pyramid.append(self.up(pyramid[-1]) + lateral if pyramid else lateral)
        smooth = [self.get_submodule(f"out{level}")(found) for level, found in zip(LEVELS, pyramid, strict=True)]
        found: Tensor = self.binarize(torch.cat(smooth, dim=1))
        return found


class DbNet(nn.Module):
    """Finds text: B x 3 x H x W, BGR less its mean, in 1/255 -> B x 1 x H x W probabilities; H and W multiples of 32.

    ``width`` scales every layer; 1.0 is the published network (25,245,313 parameters, 26,116,576 deformable).
    """

    def __init__(self, *, width: float = 1.0, deformable: bool = False) -> None:
        super().__init__()
        self.backbone = ResNet50(width, deformable=deformable)
        self.decoder = SegDetector(self.backbone.out_channels, round(INNER * width))
        # Guide 003 loads the published weights, which are of the deformable network, into the plain one. The 3x3
        # weights of both have the same shapes, so they load; what says where to look has no place there.
        self.unused_keys = UNUSED if deformable else (*UNUSED, OFFSETS)
        # Summed over 16 blocks, full gain ends in zeros and ones alone; offsets of pixels rather than parts of one
        # multiply float noise.
        self.seeded_convolution = 0.9 if deformable else 0.8
        self.seeded_gains = {key: 0.25 for key in self.state_dict() if fnmatchcase(key, OFFSETS)}
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # By inputs: by outputs, the layers without normalisation swell until half precision overflows.
                nn.init.kaiming_normal_(module.weight)
        for key in self.seeded_gains:
            nn.init.zeros_(self.get_parameter(key))

    @staticmethod
    def canonical_key(key: str) -> str:
        """The key of this network for a published one, which has the network below the one that is trained."""
        return key.removeprefix("model.").removeprefix("module.")

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.decoder(self.backbone(pictures))
        return found
