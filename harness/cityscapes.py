"""The classes of Cityscapes: names, colours, and which of its labels they are.

Source: ``cityscapesscripts/helpers/labels.py`` of the data set's own tools: 34 label ids, of which 19 are evaluated
under a number of their own, the trainId.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CLASSES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic_light",
    "traffic_sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""By trainId."""
PALETTE = (
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (102, 102, 156),
    (190, 153, 153),
    (153, 153, 153),
    (250, 170, 30),
    (220, 220, 0),
    (107, 142, 35),
    (152, 251, 152),
    (70, 130, 180),
    (220, 20, 60),
    (255, 0, 0),
    (0, 0, 142),
    (0, 0, 70),
    (0, 60, 100),
    (0, 80, 100),
    (0, 0, 230),
    (119, 11, 32),
)
"""Red, green and blue by trainId."""
IGNORED = 255
"""The trainId of every label that is not evaluated."""
TRAIN_IDS: Mapping[int, int] = MappingProxyType(
    dict(zip((7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33), range(19), strict=True))
)
"""The trainId of a labelId; all others are ``IGNORED``."""
