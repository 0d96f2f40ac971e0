"""OCRNet: HRNet-W18 and a head that looks at each pixel in the context of its object's class (guide 002).

Yuan et al., arXiv:1909.11065. State-dict keys are those of PaddleSeg's ``ocrnet_hrnetw18_cityscapes``
(``backbone.la1.bb_layer2_1.conv1._conv.weight``, ``head.cls_head.weight``), with torch's names for running means and
variances.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.networks.hrnet import ConvBN, HRNet, resized, scaled

MIDDLE, KEY = 512, 256
"""Channels of the pixels that the head works on, and of what it compares them by."""
DROPOUT = 0.1
SEEDED = 35.0
"""Added to the variance of 1 of whatever joins other features, where weights are seeded: a sixth of it is left."""


class ObjectAttentionBlock(nn.Module):
    """What every pixel takes from the classes: pixels B x C x H x W and classes B x C x K x 1 -> B x C x H x W."""

    def __init__(self, channels: int, key: int) -> None:
        super().__init__()
        self.scale = key**-0.5
        self.f_pixel = nn.Sequential(ConvBN(nn.Conv2d(channels, key, 1)), ConvBN(nn.Conv2d(key, key, 1)))
        self.f_object = nn.Sequential(ConvBN(nn.Conv2d(channels, key, 1)), ConvBN(nn.Conv2d(key, key, 1)))
        self.f_down = ConvBN(nn.Conv2d(channels, key, 1))
        self.f_up = ConvBN(nn.Conv2d(key, channels, 1))

    def forward(self, pixels: Tensor, classes: Tensor) -> Tensor:
        query = self.f_pixel(pixels)
        asked = query.flatten(2).transpose(1, 2)
        key = self.f_object(classes).flatten(2)
        value = self.f_down(classes).flatten(2).transpose(1, 2)
        shares = torch.softmax(self.scale * (asked @ key), dim=-1)
        context = (shares @ value).transpose(1, 2).reshape(query.shape)
        found: Tensor = self.f_up(context)
        return found


class SpatialOCRModule(nn.Module):
    """Pixels together with their context."""

    def __init__(self, channels: int, key: int) -> None:
        super().__init__()
        self.attention_block = ObjectAttentionBlock(channels, key)
        self.conv1x1 = nn.Sequential(ConvBN(nn.Conv2d(2 * channels, channels, 1)), nn.Dropout2d(DROPOUT))

    def forward(self, pixels: Tensor, classes: Tensor) -> Tensor:
        found: Tensor = self.conv1x1(torch.cat((self.attention_block(pixels, classes), pixels), dim=1))
        return found


class OCRHead(nn.Module):
    """B x ``before`` x h x w -> logits of the classes, and those by which pixels were first gathered, B x K x h x w."""

    def __init__(self, before: int, width: float, classes: int) -> None:
        super().__init__()
        middle = scaled(MIDDLE, width)
        self.aux_head = nn.Sequential(ConvBN(nn.Conv2d(before, before, 1)), nn.Conv2d(before, classes, 1))
        self.conv3x3_ocr = ConvBN(nn.Conv2d(before, middle, 3, padding=1))
        self.spatial_ocr = SpatialOCRModule(middle, scaled(KEY, width))
        self.cls_head = nn.Conv2d(middle, classes, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        regions = self.aux_head(features)
        pixels = self.conv3x3_ocr(features)
        return self.cls_head(self.spatial_ocr(pixels, gathered(pixels, regions))), regions


class OcrNet(nn.Module):
    """Finds the class of every pixel: B x 3 x H x W in [-1, 1], RGB -> logits B x 19 x H x W.

    In training it gives the auxiliary logits too, of the same size. ``width`` scales every number of channels; 1.0 is
    the published network.
    """

    def __init__(self, *, width: float = 1.0, classes: int = 19) -> None:
        super().__init__()
        self.backbone = HRNet(width)
        self.head = OCRHead(self.backbone.out_channels, width, classes)
        # Trained normalisations keep sums small. With seeded ones each block and each exchange doubles the signal, and
        # in the end one class has every pixel's attention, and another every pixel.
        joining = (name for name, module in self.named_modules() if isinstance(module, ConvBN) and _joins(name, module))
        self.seeded_gains = {f"{name}._batch_norm.running_var": SEEDED for name in joining}

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits, regions = self.head(self.backbone(pictures))
        if self.training:
            return resized(logits, pictures), resized(regions, pictures)
        return resized(logits, pictures)


def gathered(pixels: Tensor, regions: Tensor) -> Tensor:
    """The mean pixel of each class, weighted by the softmax of its region over all pixels: B x C x K x 1."""
    shares = torch.softmax(regions.flatten(2), dim=2)
    return (shares @ pixels.flatten(2).transpose(1, 2)).transpose(1, 2).unsqueeze(3)


def _joins(name: str, layer: ConvBN) -> bool:
    """Whether a layer's result is added to what others keep, or stands beside it."""
    added = isinstance(layer._relu, nn.Identity) and not name.endswith("conv_down")
    return added or name.endswith("f_up")
