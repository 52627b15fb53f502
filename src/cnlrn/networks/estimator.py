"""A very small network that tells how a whole picture is blurred; it restores nothing.

Blur, noise and compression are the same all over a picture while its contents are not, so what is told comes from means
over the picture, and means over parts of it can be averaged. The filters are fixed and what learns sees them turned to
the picture's own direction, so that a small perceptron and few pictures are enough. The means are of

* derivatives in eight directions, at full size, a half, a quarter, an eighth and a sixteenth, in five moments: along a
  shake they are small; the high moments see edges, of which even the sharpest is wide in a blurred picture; the low
  ones see plain areas;
* what fine derivatives are of coarse ones within each block: one blurry edge may be a soft thing taken sharply, but in
  a blurred picture no block is sharp;
* the 8x8 cosine transform on JPEG's grid, as logarithms: compression leaves zeros, noise leaves none.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = ("sharp", "shake", "defocus")
TOLD = len(KINDS) + 6
"""Numbers that the network tells: a logit for each of KINDS, the logarithm of the shake's extent in pixels, the cosine
and sine of twice its direction times its elongation, the logarithm of the defocus's radius in pixels, log(1 + noise) in
255ths, and log(1 + (100 - quality) / 4) of JPEG."""
MULTIPLE = 16
LEAST = 64
"""Pixels a side that a picture needs."""
_LEVELS = 5
_PAIRS = ((0, 1), (1, 2), (2, 3), (3, 4), (0, 2), (1, 3), (2, 4))
"""Levels whose derivatives are compared within blocks."""
_MOMENTS = (0.5, 1.0, 2.0, 4.0, 8.0)
_SHARE_MOMENTS = (0.5, 1.0, 2.0)
_FLOOR = 1e-3
"""Below it, derivatives are those of rounding to 8 bits."""
_CONTRAST = 1e-4
"""Mean squared derivative from which a block counts."""
_DIRECTIONS = 8
_HARMONICS = 4
"""What is kept of a function of direction: its mean, and how it varies once, twice and thrice in a half turn."""
_BLOCK = 8
_STEPS = (0.3 / 255, 3 / 255)
"""Sizes of a cosine coefficient below which it counts as none: one of rounding, one of a plain area."""
_BANDS = 2 * _BLOCK - 1


class BlurEstimator(nn.Module):
    """Means of fixed filters, and a perceptron of two hidden layers on them."""

    colours: Tensor
    cosines: Tensor
    bands: Tensor
    slopes: Tensor
    turns: Tensor
    waves: Tensor
    growth: Tensor
    compass: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, inner: int = 128) -> None:
        """`inner`: units of each hidden layer."""
        super().__init__()
        angles = torch.arange(_DIRECTIONS) * math.pi / _DIRECTIONS
        fixed = {
            "colours": torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.5, -0.5, 0.0], [-0.25, -0.25, 0.5]])[..., None, None],
            "cosines": _cosines(),
            "bands": _bands(),
            "slopes": _slopes(),
            "turns": torch.stack([angles.cos(), angles.sin()]),
            "waves": torch.stack(
                [(2 * k * angles).cos() for k in range(_HARMONICS)]
                + [(2 * k * angles).sin() for k in range(_HARMONICS)]
            )
            / _DIRECTIONS,
            # the size by the lowest moment, then how much larger it is by each next one
            "growth": torch.eye(len(_MOMENTS)) - torch.diag(torch.ones(len(_MOMENTS) - 1), -1),
        }
        for name, value in fixed.items():
            self.register_buffer(name, value, persistent=False)
        self.rows = _LEVELS * len(_MOMENTS), len(_PAIRS) * len(_SHARE_MOMENTS)
        inputs = sum(self.rows) * _HARMONICS + len(_PAIRS) + 3 * len(_STEPS) * _BANDS
        self.register_buffer("compass", torch.full((1, sum(self.rows)), -1.0))
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.inner = nn.Linear(inputs, inner)
        self.second = nn.Linear(inner, inner)
        self.outer = nn.Linear(inner, TOLD - 1)

    def forward(self, windows: Tensor) -> Tensor:
        """What is told (n, TOLD) of each of the pictures `windows`, as `see` and `tell` have them."""
        return self.tell(self.see(windows))

    def see(self, windows: Tensor) -> Tensor:
        """Means (n, k) of each of the pictures (n, 3, h, w), RGB in [0, 1], h and w multiples of MULTIPLE and at least
        LEAST. JPEG's grid is taken to begin in the corner."""
        colours = F.conv2d(windows, self.colours)
        gray = colours[:, :1]
        moments, squares, bands = [], [], []
        for level in range(_LEVELS):
            gray = F.avg_pool2d(gray, 2) if level else gray
            slope = F.conv2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), self.slopes)
            squares.append(torch.cat([slope.square(), slope[:, :1] * slope[:, 1:]], 1))
            moments.append(self._moments(slope))
        shares, weights = zip(
            *(self._shares(squares[fine], squares[coarse], coarse - fine) for fine, coarse in _PAIRS), strict=True
        )
        for colour in torch.split(colours, 1, 1):
            powers = F.conv2d(colour, self.cosines, stride=_BLOCK).square()
            bands += [torch.log(powers + step**2).mean((2, 3)) @ self.bands for step in _STEPS]
        return torch.cat([*moments, *shares, *weights, *bands], 1)

    def tell(self, seen: Tensor) -> Tensor:
        """Means (n, k) to what is told (n, TOLD)."""
        features, towards = self.features(seen)
        hidden = F.relu(self.inner((features - self.centre) / self.spread))
        hidden = F.relu(self.second(hidden))
        return self.directed(self.outer(hidden), towards)

    def directed(self, told: Tensor, towards: Tensor) -> Tensor:
        """What is told (n, TOLD), from that with an elongation for a direction (n, TOLD - 1), and the direction (n, 2)
        of unit length."""
        kinds, elongation, rest = torch.split(told, [len(KINDS) + 1, 1, TOLD - len(KINDS) - 3], 1)
        return torch.cat([kinds, elongation * towards, rest], 1)

    def features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Means (n, k) to as many features as the perceptron reads, and the picture's direction (n, 2), as cosine and
        sine of twice an angle, towards which they are turned."""
        even, odd, rest = self.harmonics(seen)
        towards = F.normalize(self.compass @ torch.stack([even[..., 1], odd[..., 1]], 2), dim=2, eps=1e-6)[:, 0]
        cosine, sine = torch.split(towards, 1, 1)
        turned, real, imaginary = [even[..., 0]], cosine, sine
        for k in range(1, _HARMONICS):
            turned.append(even[..., k] * real + odd[..., k] * imaginary)
            real, imaginary = real * cosine - imaginary * sine, real * sine + imaginary * cosine
        return torch.cat([*turned, rest], 1), towards

    def harmonics(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means (n, k) to how the logarithm of each moment depends on direction, as the cosine and sine parts (n, rows,
        _HARMONICS) of its harmonics, and to the features that do not (n, ...)."""
        (first, second), n = self.rows, seen.shape[0]
        moments, shares, weights, bands = torch.split(
            seen, [first * _DIRECTIONS, second * _DIRECTIONS, len(_PAIRS), 3 * len(_STEPS) * _BANDS], 1
        )
        powers = seen.new_tensor(_MOMENTS)[:, None]
        sizes = torch.log(moments.reshape(n, _LEVELS, len(_MOMENTS), -1) + _FLOOR**powers) / powers
        sizes = (self.growth @ sizes).reshape(n, first, -1)
        known = shares.reshape(n, len(_PAIRS), -1) / (weights[..., None] + 1e-3)
        known = torch.log(known + 1e-4).reshape(n, second, -1)
        even, odd = torch.split(torch.cat([sizes, known], 1) @ self.waves.T, _HARMONICS, 2)
        return even, odd, torch.cat([torch.log(weights + 1e-3), bands], 1)

    def _moments(self, slope: Tensor) -> Tensor:
        """Moments (n, 5 x 8) in eight directions of derivatives (n, 2, h, w) across and down."""
        square = F.conv2d(slope, self.turns.T[..., None, None]).square()
        size, fourth = square.sqrt(), square.square()
        parts = (size.sqrt(), size, square, fourth, fourth.square())
        return torch.stack([part.mean((2, 3)) for part in parts], 1).flatten(1)

    def _shares(self, fine: Tensor, coarse: Tensor, levels: int) -> tuple[Tensor, Tensor]:
        """Means over blocks of 8x8 fine pixels, `levels` above coarse ones, of three moments of what squared fine
        derivatives are of coarse ones in eight directions (n, 3 x 8), and of the weight (n, 1) that each counts with,
        1 where a block has contrast. Squares (n, 3, h, w) are those across, down and the product of both."""
        fine = F.avg_pool2d(fine, _BLOCK)
        contrast = F.avg_pool2d(coarse[:, :2], _BLOCK >> levels).mean(1, keepdim=True)
        weight = contrast / (contrast + _CONTRAST)
        cosine, sine = self.turns
        mixed = torch.stack([cosine.square(), sine.square(), 2 * cosine * sine], 1)[..., None, None]
        share = F.conv2d(fine, mixed).clamp_min(0) / (contrast + 0.1 * _CONTRAST)
        means = [(weight * part).mean((2, 3)) for part in (share.sqrt(), share, share.square())]
        return torch.cat(means, 1), weight.mean((2, 3))


def _cosines() -> Tensor:
    """The filters of the 8x8 cosine transform (64, 1, 8, 8), orthonormal."""
    line = torch.arange(_BLOCK)
    wave = torch.cos((2 * line + 1) * line[:, None] * math.pi / (2 * _BLOCK)) * (2 / _BLOCK) ** 0.5
    wave[0] /= 2**0.5
    filters: Tensor = wave[:, None, :, None] * wave[None, :, None, :]
    return filters.reshape(_BLOCK**2, 1, _BLOCK, _BLOCK)


def _bands() -> Tensor:
    """Means over cosine coefficients of one sum of both frequencies: (64, 15)."""
    line = torch.arange(_BLOCK)
    member = F.one_hot((line[:, None] + line[None, :]).reshape(-1), _BANDS).float()
    return member / member.sum(0)


def _slopes() -> Tensor:
    """Scharr's filters of the derivatives across and down (2, 1, 3, 3), which hardly depend on direction."""
    across = torch.tensor([[-3.0, 0, 3], [-10, 0, 10], [-3, 0, 3]]) / 32
    return torch.stack([across, across.T])[:, None]
