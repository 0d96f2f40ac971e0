"""Thin-plate-spline rectification: the first stage of RARE (guide 000; Shi et al., arXiv:1603.03915).

State-dict keys are those of the published training code. The constants of the spline are computed here in double
precision and rounded once, as the published code does; its order of the two products is kept too, because the other
one moves outputs by 6e-4: the spline's matrix has a condition number of about 1,900.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FIDUCIALS = 20
"""Points along the upper and the lower edge of the text, half of them each."""
HEIGHT, WIDTH = 32, 100
"""Of the picture and of the rectified picture."""
EPSILON = 1e-6
"""Keeps the logarithm finite where a pixel lies on a fiducial."""
FILTERS = (64, 128, 256, 512)
HIDDEN = 256


def fiducials() -> NDArray[np.float64]:
    """The fiducials of the rectified picture, 20 x 2 as (x, y) in [-1, 1]: along its upper edge, then its lower one."""
    x = np.linspace(-1.0, 1.0, FIDUCIALS // 2)
    edges = [np.stack([x, np.full_like(x, y)], axis=1) for y in (-1.0, 1.0)]
    return np.concatenate(edges)


def inverse_of_spline() -> NDArray[np.float64]:
    """The inverse of the spline's 23 x 23 matrix over its own fiducials: from points to coefficients."""
    points = fiducials()
    distances = np.linalg.norm(points[:, np.newaxis] - points[np.newaxis], axis=2) + np.eye(FIDUCIALS)
    kernel = distances**2 * np.log(distances)
    ones = np.ones((FIDUCIALS, 1))
    above = np.concatenate([ones, points, kernel], axis=1)
    below = np.concatenate([np.zeros((3, 3)), np.concatenate([points.T, ones.T])], axis=1)
    return np.linalg.inv(np.concatenate([above, below]))


def basis_of_pixels(height: int, width: int) -> NDArray[np.float64]:
    """The spline's 23 functions at the centre of each pixel, row by row: height * width x 23."""
    x = (np.arange(-width, width, 2) + 1.0) / width
    y = (np.arange(-height, height, 2) + 1.0) / height
    pixels = np.stack(np.meshgrid(x, y), axis=2).reshape(-1, 2)
    distances = np.linalg.norm(pixels[:, np.newaxis] - fiducials()[np.newaxis], axis=2)
    kernel = distances**2 * np.log(distances + EPSILON)
    return np.concatenate([np.ones((len(pixels), 1)), pixels, kernel], axis=1)


class ConvBNLayer(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.relu(self.bn(self.conv(features)))


class LocalizationNetwork(nn.Module):
    """Finds the text: B x 3 x H x W -> B x 20 x 2 fiducials as (x, y) in [-1, 1]."""

    def __init__(self, width: float) -> None:
        super().__init__()
        filters = [max(8, round(count * width)) for count in FILTERS]
        for index, (before, after) in enumerate(zip((3, *filters), filters, strict=False)):
            self.add_module(f"loc_conv{index}", ConvBNLayer(before, after))
        hidden = max(8, round(HIDDEN * width))
        self.fc1 = nn.Linear(filters[-1], hidden)
        self.fc2 = nn.Linear(hidden, 2 * FIDUCIALS)
        # A new network begins by changing nothing. The published training begins with a slanted line.
        nn.init.zeros_(self.fc2.weight)
        with torch.no_grad():
            self.fc2.bias.copy_(torch.from_numpy(fiducials().reshape(-1)))

    def forward(self, pictures: Tensor) -> Tensor:
        features = pictures
        for index in range(len(FILTERS)):
            features = self.get_submodule(f"loc_conv{index}")(features)
            if index < len(FILTERS) - 1:
                features = nn.functional.max_pool2d(features, 2, 2)
        pooled = nn.functional.adaptive_avg_pool2d(features, 1).flatten(1)
        found: Tensor = self.fc2(nn.functional.relu(self.fc1(pooled)))
        return found.view(-1, FIDUCIALS, 2)


class GridGenerator(nn.Module):
    """B x 20 x 2 fiducials -> B x H*W x 2: where each pixel of the rectified picture lies in the picture."""

    inverse: Tensor
    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Learned in name only: published checkpoints hold it, frozen at zero, and what they hold is used.
        self.fc = nn.Linear(2 * FIDUCIALS, 6)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)
        for name, values in (("inverse", inverse_of_spline()), ("basis", basis_of_pixels(HEIGHT, WIDTH))):
            self.register_buffer(name, torch.from_numpy(values.astype(np.float32)), persistent=False)

    def forward(self, found: Tensor) -> Tensor:
        expanded = self.fc(found.flatten(1)).view(-1, 3, 2)
        coefficients = self.inverse @ torch.cat((found, expanded), dim=1)
        return self.basis @ coefficients


class Sampler(nn.Module):
    """Samples a picture at a grid: bilinear, zeros outside, corners at the centres of the corner pixels."""

    def forward(self, pictures: Tensor, grid: Tensor) -> Tensor:
        return nn.functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


class Tps(nn.Module):
    """B x 3 x 32 x 100 -> the same, its text straightened."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.loc_net = LocalizationNetwork(width)
        self.grid_generator = GridGenerator()
        self.sampler = Sampler()

    def forward(self, pictures: Tensor) -> Tensor:
        grid = self.grid_generator(self.loc_net(pictures)).view(-1, HEIGHT, WIDTH, 2)
        found: Tensor = self.sampler(pictures, grid)
        return found
