"""A very small network that tells how a whole picture is blurred; it restores nothing.

Blur, noise and compression are the same all over a picture while its contents are not, so what is told comes from means
over parts of the picture, and what is told of the parts is averaged. The filters are fixed and what learns sees them
turned to the part's own direction, so that a small network and few pictures are enough. The means are of

* the spectrum (`cnlrn.restoration.spectrum`), in which blur of each size leaves its gaps: convolutions along the axis
  of lengths look for them, alike at every length, and so learn from blur of one size to know that of others;
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

from cnlrn.restoration.spectrum import DIRECTIONS, LENGTHS, lengths

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
_WAVE_HARMONICS = 6
"""What is kept of the spectrum's."""
_MIDDLE = slice(LENGTHS // 3, 2 * LENGTHS // 3)
"""Lengths of waves whose strength the others are compared with."""
_BINS = 120
_SMALLEST, _LARGEST = 1.6, 200.0
"""Sizes of blur between which one of _BINS is told, in pixels."""
_NEAR = math.log(1.6)
"""Within which of a size, on a logarithmic axis, the true one shall be as often as can be."""
_FARTHEST = 6.0
"""Standard deviations beyond which features are clipped."""
_BLOCK = 8
_STEPS = (0.3 / 255, 3 / 255)
"""Sizes of a cosine coefficient below which it counts as none: one of rounding, one of a plain area."""
_BANDS = 2 * _BLOCK - 1


class Judge(nn.Module):
    """Convolutions along the spectrum, and a perceptron of two hidden layers on what they find and the features."""

    def __init__(self, inputs: int, inner: int = 64, channels: int = 24, dropped: float = 0.3) -> None:
        """`inputs`: features; `inner`: units of each hidden layer of the perceptron; `channels` of the convolutions;
        `dropped`: the share of units that is dropped while training."""
        super().__init__()
        self.along = nn.Conv1d(_WAVE_HARMONICS + 1, channels, 7, padding=3)
        self.along_again = nn.Conv1d(channels, channels, 5, padding=2)
        self.gaps = nn.Conv1d(channels, 1, 1)
        self.inner = nn.Linear(inputs + 2 * channels, inner)
        self.second = nn.Linear(inner, inner)
        self.sized = nn.Linear(inner, LENGTHS)
        self.outer = nn.Linear(inner, len(KINDS) + 3)
        self.dropped = dropped

    def forward(self, features: Tensor, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised features (n, ...) and harmonics of the spectrum (n, ..., LENGTHS) to numbers (n, 6), the kinds,
        the elongation, noise and compression as TOLD has them, and to the logarithm of how likely (n, LENGTHS) each
        length of waves is to be the size of the blur: the extent of a shake, the diameter of a defocus."""
        place = torch.linspace(-1, 1, LENGTHS).expand(waves.shape[0], 1, LENGTHS)
        found = F.relu(self.along(torch.cat([waves, place], 1)))
        found = F.dropout1d(found, self.dropped / 2, self.training)
        found = F.relu(self.along_again(found))
        hidden = torch.cat([features, found.mean(2), found.amax(2)], 1)
        for layer in (self.inner, self.second):
            hidden = F.dropout(F.relu(layer(hidden)), self.dropped, self.training)
        return self.outer(hidden), (self.gaps(found)[:, 0] + self.sized(hidden)).log_softmax(1)


class BlurEstimator(nn.Module):
    """Means of fixed filters and of the spectrum, and judges that learn from both."""

    colours: Tensor
    cosines: Tensor
    bands: Tensor
    slopes: Tensor
    turns: Tensor
    waves: Tensor
    wave_waves: Tensor
    growth: Tensor
    sizes: Tensor
    near: Tensor
    compass: Tensor
    centre: Tensor
    spread: Tensor
    wave_centre: Tensor
    wave_spread: Tensor

    def __init__(self, judges: int = 4) -> None:
        """`judges`: how many learn, each by itself, to be averaged."""
        super().__init__()
        angles = torch.arange(_DIRECTIONS) * math.pi / _DIRECTIONS
        sizes = torch.linspace(math.log(_SMALLEST), math.log(_LARGEST), _BINS)
        apart = (sizes - torch.from_numpy(lengths()).log()[:, None]).abs()
        step = math.log(float(lengths()[0] / lengths()[1]))
        fixed = {
            "colours": torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.5, -0.5, 0.0], [-0.25, -0.25, 0.5]])[..., None, None],
            "cosines": _cosines(),
            "bands": _bands(),
            "slopes": _slopes(),
            "turns": torch.stack([angles.cos(), angles.sin()]),
            "waves": _waves(_DIRECTIONS, _HARMONICS),
            "wave_waves": _waves(DIRECTIONS, _WAVE_HARMONICS),
            # the size by the lowest moment, then how much larger it is by each next one
            "growth": torch.eye(len(_MOMENTS)) - torch.diag(torch.ones(len(_MOMENTS) - 1), -1),
            "sizes": sizes,
            "near": ((_NEAR + step / 2 - apart) / step).clamp(0, 1),
        }
        for name, value in fixed.items():
            self.register_buffer(name, value, persistent=False)
        self.rows = _LEVELS * len(_MOMENTS), len(_PAIRS) * len(_SHARE_MOMENTS)
        inputs = sum(self.rows) * _HARMONICS + len(_PAIRS) + 3 * len(_STEPS) * _BANDS
        self.register_buffer("compass", torch.full((1, sum(self.rows) + LENGTHS), -1.0))
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.register_buffer("wave_centre", torch.zeros(_WAVE_HARMONICS, LENGTHS))
        self.register_buffer("wave_spread", torch.ones(_WAVE_HARMONICS, 1))
        self.judges = nn.ModuleList(Judge(inputs) for _ in range(judges))

    def forward(self, windows: Tensor, spectra: Tensor) -> Tensor:
        """What is told (1, TOLD) of a picture of which these are parts, as `see` and `tell` have them."""
        return self.tell(self.see(windows), spectra)

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

    def tell(self, seen: Tensor, spectra: Tensor) -> Tensor:
        """Means (n, k) and spectra (n, LENGTHS, DIRECTIONS) of the parts of a picture to what is told of it (1, TOLD).

        What is judged of the parts is averaged. The size told is the one that the true one is most likely near to,
        within a factor of 1.6.
        """
        features, waves, towards = self.features(seen, spectra)
        numbers, sizes = self.judge(features, waves)
        size = self.sizes[(sizes.mean(0, keepdim=True).softmax(1) @ self.near).argmax(1)][:, None]
        kinds, elongation, rest = torch.split(numbers, [len(KINDS), 1, 2], 1)
        kinds, direction, rest = (part.mean(0, keepdim=True) for part in (kinds, elongation * towards, rest))
        return torch.cat([kinds, size, direction, size - math.log(2), rest], 1)

    def judge(self, features: Tensor, waves: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of what all judges say of features and harmonics that are not standardised yet."""
        said = [judge(self.standard(features), self.standard_waves(waves)) for judge in self.judges]
        numbers, sizes = (torch.stack(parts).mean(0) for parts in zip(*said, strict=True))
        return numbers, sizes

    def standard(self, features: Tensor) -> Tensor:
        """Features in standard deviations from the mean of what was learned from, clipped."""
        return ((features - self.centre) / self.spread).clamp(-_FARTHEST, _FARTHEST)

    def standard_waves(self, waves: Tensor) -> Tensor:
        """The same of harmonics of the spectrum."""
        return ((waves - self.wave_centre) / self.wave_spread).clamp(-_FARTHEST, _FARTHEST)

    def features(self, seen: Tensor, spectra: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means (n, k) and spectra to as many features as the perceptron reads, the harmonics of the spectrum (n, ...,
        LENGTHS), and the picture's direction (n, 2), as cosine and sine of twice an angle, towards which all are
        turned."""
        even, odd, rest = self.harmonics(seen)
        first = torch.stack(self.first_harmonics(seen, spectra), 2)
        towards = F.normalize(self.compass @ first, dim=2, eps=1e-6)[:, 0]
        wave_even, wave_odd = torch.split(spectra @ self.wave_waves.T, _WAVE_HARMONICS, 2)
        waves = _turned(wave_even, wave_odd, towards)
        level, others = torch.split(waves, [1, _WAVE_HARMONICS - 1], 1)
        waves = torch.cat([level - level[..., _MIDDLE].mean(2, keepdim=True), others], 1)
        return torch.cat([_turned(even, odd, towards).flatten(1), rest], 1), waves, towards

    def first_harmonics(self, seen: Tensor, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """How means (n, k) and spectra vary once in a half turn: the cosine and sine parts (n, ...)."""
        even, odd, _ = self.harmonics(seen)
        wave_even, wave_odd = torch.split(spectra @ self.wave_waves.T, _WAVE_HARMONICS, 2)
        return torch.cat([even[..., 1], wave_even[..., 1]], 1), torch.cat([odd[..., 1], wave_odd[..., 1]], 1)

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


def _waves(directions: int, harmonics: int) -> Tensor:
    """Cosines, then sines, (2 x harmonics, directions) whose sums with a function of direction are its harmonics."""
    phases = 2 * torch.arange(harmonics)[:, None] * torch.arange(directions) * math.pi / directions
    return torch.cat([phases.cos(), phases.sin()]) / directions


def _turned(even: Tensor, odd: Tensor, towards: Tensor) -> Tensor:
    """The part (n, harmonics, rows) that is even about the direction `towards` (n, 2) of functions of direction whose
    harmonics' cosine and sine parts are (n, rows, harmonics)."""
    cosine, sine = torch.split(towards, 1, 1)
    turned, real, imaginary = [even[..., 0]], cosine, sine
    for k in range(1, even.shape[2]):
        turned.append(even[..., k] * real + odd[..., k] * imaginary)
        real, imaginary = real * cosine - imaginary * sine, real * sine + imaginary * cosine
    return torch.stack(turned, 1)


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
