"""The spline is the one of the textbook, and a picture is sampled where the published code samples it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.interpolate import RBFInterpolator

from harness.networks.tps import (
    HEIGHT,
    WIDTH,
    GridGenerator,
    LocalizationNetwork,
    Sampler,
    Tps,
    basis_of_pixels,
    fiducials,
    inverse_of_spline,
)

MOVES = arrays(np.float64, (20, 2), elements=st.floats(-0.25, 0.25))


pytestmark = pytest.mark.usefixtures("one_thread")


def centres(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The centres of the pixels of a picture from -1 to 1, row by row."""
    x = (np.arange(-width, width, 2) + 1) / width
    y = (np.arange(-height, height, 2) + 1) / height
    return np.array([(right, down) for down in y for right in x])


def grid_of(points: np.ndarray) -> np.ndarray:
    """Where each pixel of the rectified picture lies, for fiducials found there."""
    with torch.inference_mode():
        return GridGenerator()(torch.from_numpy(points).float()[None])[0].numpy()


def ramp(axis: int) -> torch.Tensor:
    """A picture whose pixels say in which column (3) or row (2) they are."""
    size = (HEIGHT, WIDTH)[axis - 2]
    shape = [1, 1, 1, 1]
    shape[axis] = size
    return torch.arange(size, dtype=torch.float32).view(shape).expand(1, 3, HEIGHT, WIDTH).contiguous()


class TestSpline:
    def spline(self) -> np.ndarray:
        """The matrix that takes coefficients to the values at the fiducials, and to the three side conditions."""
        points = fiducials()
        matrix = np.zeros((23, 23))
        for row, (x, y) in enumerate(points):
            matrix[row, :3] = 1, x, y
            for column, (other_x, other_y) in enumerate(points):
                r = math.hypot(x - other_x, y - other_y)
                matrix[row, 3 + column] = r * r * math.log(r) if r else 0
        matrix[20, 3:], matrix[21, 3:], matrix[22, 3:] = points[:, 0], points[:, 1], 1
        return matrix

    def test_fiducials_run_along_the_upper_edge_and_then_along_the_lower_one(self):
        points = fiducials()
        assert points.shape == (20, 2)
        assert np.array_equal(points[:10, 0], points[10:, 0])
        assert np.allclose(np.diff(points[:10, 0]), 2 / 9)
        assert (points[0, 0], points[9, 0]) == (-1, 1)
        assert set(points[:10, 1]) == {-1.0}
        assert set(points[10:, 1]) == {1.0}

    def test_the_inverse_times_the_matrix_is_the_identity(self):
        assert np.allclose(inverse_of_spline() @ self.spline(), np.eye(23), atol=1e-10)
        assert np.linalg.cond(self.spline()) == pytest.approx(1900, rel=0.05)

    @given(MOVES)
    def test_it_is_the_thin_plate_spline_of_the_textbook(self, moves):
        found = fiducials() + moves
        expected = RBFInterpolator(fiducials(), found, kernel="thin_plate_spline", degree=1)(centres(4, 10))
        coefficients = inverse_of_spline() @ np.concatenate([found, np.zeros((3, 2))])
        # What keeps the logarithm finite moves a pixel by so much at most.
        assert np.abs(basis_of_pixels(4, 10) @ coefficients - expected).max() < 1e-4


class TestGrid:
    def test_fiducials_on_the_rectangle_leave_every_pixel_where_it_is(self):
        assert np.abs(grid_of(fiducials()) - centres()).max() < 1e-4

    @given(
        arrays(np.float64, (2, 2), elements=st.floats(-1, 1)),
        arrays(np.float64, 2, elements=st.floats(-1, 1)),
    )
    def test_fiducials_that_are_moved_turned_or_sheared_take_the_pixels_along(self, matrix, shift):
        found = grid_of(fiducials() @ matrix + shift)
        assert np.abs(found - (centres() @ matrix + shift)).max() < 5e-4

    @given(MOVES)
    def test_any_fiducials_bend_the_grid_as_the_textbook_does(self, moves):
        expected = RBFInterpolator(fiducials(), fiducials() + moves, kernel="thin_plate_spline", degree=1)(centres())
        assert np.abs(grid_of(fiducials() + moves) - expected).max() < 1e-3

    def test_each_picture_has_its_own_grid(self):
        several = np.stack([fiducials(), fiducials() * 0.5, fiducials() + 0.25])
        with torch.inference_mode():
            found = GridGenerator()(torch.from_numpy(several).float()).numpy()
        for one, points in zip(found, several, strict=True):
            assert np.abs(one - grid_of(points)).max() < 1e-6

    def test_what_a_checkpoint_holds_for_the_frozen_layer_is_used(self):
        grid = GridGenerator()
        assert not any(parameter.any() for parameter in grid.parameters())
        with torch.inference_mode():
            grid.fc.bias.fill_(0.1)
            found = grid(torch.from_numpy(fiducials()).float()[None])[0].numpy()
        expected = (
            basis_of_pixels(HEIGHT, WIDTH) @ inverse_of_spline() @ np.concatenate([fiducials(), np.full((3, 2), 0.1)])
        )
        assert np.abs(found - expected).max() < 5e-4
        assert np.abs(found - centres()).max() > 0.01

    def test_the_constants_are_no_part_of_a_checkpoint(self):
        assert set(GridGenerator().state_dict()) == {"fc.weight", "fc.bias"}


class TestSampling:
    """The grid has a pixel's centre at half a pixel, the sampler has the corners at the centres of the corner pixels.

    So fiducials on the rectangle do not give the picture itself: column j shows the column (j + 1/2) (1 - 1/W), which
    is half a pixel further in at both sides and j in the middle. That is what the published network was trained with.
    """

    @pytest.mark.parametrize(("axis", "size"), [(2, HEIGHT), (3, WIDTH)])
    def test_the_rectangle_is_read_half_a_pixel_further_in(self, axis, size):
        grid = torch.from_numpy(grid_of(fiducials())).view(1, HEIGHT, WIDTH, 2)
        found = Sampler()(ramp(axis), grid)
        shown = (np.arange(size) + 0.5) * (size - 1) / size
        assert np.abs(np.moveaxis(found[0].numpy(), axis - 1, -1) - shown).max() < 2e-2

    def test_what_lies_outside_the_picture_is_mid_grey(self):
        grid = torch.from_numpy(grid_of(fiducials() + np.array([2.5, 0.0]))).view(1, HEIGHT, WIDTH, 2)
        assert not Sampler()(torch.ones(1, 3, HEIGHT, WIDTH), grid).any()

    def test_moving_the_fiducials_right_shows_what_lies_to_the_right(self):
        moved = fiducials() + np.array([20 / (WIDTH - 1), 0.0])
        grid = torch.from_numpy(grid_of(moved)).view(1, HEIGHT, WIDTH, 2)
        found = Sampler()(ramp(3), grid)[0, 0, 16, :80].numpy()
        assert np.abs(found - ((np.arange(80) + 0.5) * (WIDTH - 1) / WIDTH + 10)).max() < 2e-2


class TestNetwork:
    @pytest.mark.parametrize("width", [0.125, 0.25])
    def test_a_new_network_finds_the_rectangle_in_any_picture(self, width):
        pictures = torch.rand(3, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
        network = LocalizationNetwork(width).eval()
        with torch.inference_mode():
            found = network(pictures)
        assert np.abs(found.numpy() - fiducials()).max() < 1e-6

    def test_rectifying_is_sampling_at_the_grid_of_what_was_found(self):
        torch.manual_seed(0)
        network = Tps(0.125).eval()
        pictures = torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 2 - 1
        with torch.inference_mode():
            network.loc_net.fc2.weight.normal_(std=0.02, generator=torch.Generator().manual_seed(1))
            points = network.loc_net(pictures)
            found = network(pictures)
        assert (points[0] - points[1]).abs().max() > 1e-4
        for picture, point, one in zip(pictures, points, found, strict=True):
            grid = torch.from_numpy(grid_of(point.numpy())).view(1, HEIGHT, WIDTH, 2)
            assert (Sampler()(picture[None], grid)[0] - one).abs().max() < 1e-3
        assert found.shape == pictures.shape
