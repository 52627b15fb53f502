"""`cnlrn-own`: a photo at its own size made sharp, coarse to fine, by compact cascades at three working sizes.

A blur of a few pixels is easy to undo; a longer one is, where the photo is reduced until it is a few pixels long. So a
cascade sees the photo at an eighth, at a quarter and at half of each side, and each draws it sharp: the exits of the
first two are x4, that of the last is x2. A level's features enter the next one, with the detail that the level's
reduction loses. The result is a mixture of the photo and its three drawings. The weights of the mixture come from
surveys of the whole photo, which tell the extent of its blur, and from the features at each place. As in the compact
cascades, the result may neither add nor take light over large areas. Sources: CNLRN (CVPRW 2021) for the cascade, Nah
et al. (CVPR 2017) and SRN (Tao et al., CVPR 2018) for coarse to fine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.degradation.resize import matrix
from cnlrn.errors import CnlrnError
from cnlrn.networks.base import LevelOfDetail, RestorationNetwork
from cnlrn.networks.blocks import Bicubic, conv3
from cnlrn.networks.compact import (
    CompactPreset,
    DeblurringModule,
    NonLocalGroup,
    Survey,
    Tuning,
    excess_light,
    reach_of_features,
)

_NEAR, _FINE, _COARSE = 2, 4, 8
_WHITE, _NEARLY = 0.98, 0.92
"""Values from which light may have been clipped surely, and possibly."""
_CLIPPED_SHARE = 0.05
"""Of a cell's pixels that are white, from which its light is not known."""
_DECIDED = 30.0
"""A logit of the mixture beyond which nothing changes."""
_UNTOUCHED = 2.0
"""By how much the photo outweighs its drawings before training."""


@dataclass(frozen=True)
class OwnSizePreset:
    """Hyper-parameters of `OwnSizeCNLRN`. Widths are channels, the others counts of blocks.

    Those of the coarse and the fine level are of `cnlrn-s`, those of the near level of `cnlrn-xs`.
    """

    width: int = 32
    """Channels at the full size of each level."""
    half_width: int = 64
    """Channels at half of the coarse and the fine level's size."""
    quarter_width: int = 96
    """Channels at a quarter of it."""
    quarter_blocks: int = 2
    """Residual blocks there."""
    group_blocks: int = 8
    """Residual blocks after the encoder-decoder."""
    attention_width: int = 64
    """Channels of a token in the non-local block."""
    up_width: int = 16
    """Channels at twice the level's size."""
    near_half_width: int = 32
    """Channels at half of the near level's size, a quarter of the photo's."""
    near_quarter_width: int = 64
    near_quarter_blocks: int = 0
    near_group_blocks: int = 3
    near_attention_width: int = 32
    near_up_width: int = 8
    """Channels at the photo's size."""
    survey_width: int = 64
    """Channels of each survey."""

    @property
    def reduced(self) -> CompactPreset:
        """What the coarse and the fine level have in common with a compact cascade."""
        return CompactPreset(
            width=self.width,
            half_width=self.half_width,
            quarter_width=self.quarter_width,
            quarter_blocks=self.quarter_blocks,
            group_blocks=self.group_blocks,
            attention_width=self.attention_width,
            up_width=self.up_width,
            survey_width=self.survey_width,
        )

    @property
    def near(self) -> CompactPreset:
        """What the near level has in common with one."""
        return replace(
            self.reduced,
            half_width=self.near_half_width,
            quarter_width=self.near_quarter_width,
            quarter_blocks=self.near_quarter_blocks,
            group_blocks=self.near_group_blocks,
            attention_width=self.near_attention_width,
            up_width=self.near_up_width,
        )


CNLRN_OWN = OwnSizePreset()


class Halved(nn.Module):
    """A picture reduced by 2, by the protocol's bicubic but for the borders, where the last pixel is repeated."""

    kernel: Tensor

    def __init__(self) -> None:
        """The kernel is no part of checkpoints."""
        super().__init__()
        line = torch.from_numpy(matrix(16, 8)[4, 5:13].copy())
        self.register_buffer("kernel", line.reshape(1, 1, 1, 8).repeat(3, 1, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """(n, 3, h, w), h and w even, to (n, 3, h/2, w/2), in float32."""
        device = "cpu" if picture.is_meta else picture.device.type
        with torch.autocast(device, enabled=False):  # bfloat16's 8 bits would round the picture itself
            edged = F.pad(picture.float(), (3, 3, 3, 3), mode="replicate")
            across = F.conv2d(edged, self.kernel, stride=(1, 2), groups=3)
            return F.conv2d(across, self.kernel.mT, stride=(2, 1), groups=3)


class Level(nn.Module):
    """A deblurring module and a non-local residual group on a reduced photo, and their drawing of the photo."""

    def __init__(self, preset: CompactPreset, reduction: int) -> None:
        """Widths and counts from the preset; the photo is reduced by `reduction`, and drawn x4 or, of half size, x2."""
        super().__init__()
        self.scale = min(reduction, 4)
        self.surveyed = 3 * (2 * preset.survey_width + 1)
        self.deblur = DeblurringModule(preset)
        self.body = NonLocalGroup(preset)
        self.upsample = conv3(preset.width, 4 * preset.up_width)
        self.exit = conv3(preset.up_width, 3 * (self.scale // 2) ** 2)
        self.exit.weight.data.mul_(0.1)
        self.enlarged = Bicubic(self.scale)
        self.tuning = Tuning(preset.survey_width, preset.group_blocks, preset.width, surveys=3)

    def forward(self, picture: Tensor, survey: Tensor, entering: Tensor | None = None) -> Tensor:
        """(n, 3, h, w) to features (n, width, h, w), h and w multiples of 16; `entering` are features (n, width, h, w)
        from elsewhere that join those of the picture."""
        features: Tensor = self.body(self.deblur(picture, entering), iter(self.tuning(survey)))
        return features

    def draw(self, picture: Tensor, features: Tensor) -> Tensor:
        """The picture sharp, (n, 3, scale*h, scale*w), from its features."""
        drawn: Tensor = self.enlarged(picture) + F.pixel_shuffle(self._difference(features), self.scale // 2)
        return drawn

    @torch.no_grad()
    def leave_plain(self) -> None:
        """Have plain gray drawn as it is. A compact cascade may add anything to it, as that is taken out again; between
        drawings in a mixture it would be seen."""
        gray = torch.full((1, 3, 64, 64), 0.5)
        added = self._difference(self(gray, torch.zeros(1, self.surveyed)))
        means = added[..., 24:-24, 24:-24].reshape(3, -1).mean(1)
        assert self.exit.bias is not None
        self.exit.bias -= means.repeat_interleave(added.shape[1] // 3)

    def _difference(self, features: Tensor) -> Tensor:
        """To the enlarged picture, (n, 3k, 2h, 2w), k samples of a colour side by side."""
        difference: Tensor = self.exit(F.pixel_shuffle(F.relu(self.upsample(features)), 2))
        return difference


class OwnSizeCNLRN(RestorationNetwork):
    """Coarse to fine on a photo at its own size; the one exit is x1."""

    scales = (1,)
    deblurring = None

    def __init__(self, preset: OwnSizePreset) -> None:
        """Build with random weights, which leave the photo nearly as it is."""
        super().__init__()
        reduced, near, width = preset.reduced, preset.near, preset.width
        grid = reduced.patch * reduced.window
        self.multiple = _COARSE * grid
        self.cell = self.multiple // 2
        drawn_from_fine = 3 * (_FINE - 1) + 3 * _FINE  # how far the fine level's drawing sees beyond its features
        contexts = (
            _COARSE * reach_of_features(reduced) + 3 * (_COARSE - 1),
            _FINE * reach_of_features(reduced) + 3 * (_FINE - 1) + _FINE,
            _NEAR * reach_of_features(near) + drawn_from_fine + 2 * _NEAR + 1,
        )
        self.coarse_to_fine = tuple(
            LevelOfDetail(made, channels, -(-context // (size * grid)) * size * grid, size * grid)
            for made, channels, context, size in zip(
                (_COARSE, _FINE, 1), (width, width + 12, 3), contexts, (_COARSE, _FINE, _NEAR), strict=True
            )
        )
        self.context = -(-self.cell * 3 // 2 // self.cell) * self.cell
        self.halved = Halved()
        self.doubled = Bicubic(2)
        self.surveyors = nn.ModuleList(Survey(preset.survey_width) for _ in range(3))
        self.coarse, self.fine, self.near = Level(reduced, _COARSE), Level(reduced, _FINE), Level(near, _NEAR)
        self.from_coarse = nn.Conv2d(width, 4 * width, 1)
        self.fine_detail = conv3(3 * _FINE**2, width)
        self.from_fine = nn.Conv2d(width, 4 * width, 1)
        self.near_detail = conv3(3 * _NEAR**2 + 12 + 3, width)
        self.shares = conv3(width, 4 * _NEAR**2)
        self.gate = Tuning(preset.survey_width, 1, 2, surveys=3)
        self.change = conv3(width, 3 * _NEAR**2)
        for layer in (self.from_coarse, self.fine_detail, self.from_fine, self.near_detail, self.shares, self.change):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        self.gate.outer.bias.data[0] = _UNTOUCHED

    @torch.no_grad()
    def begin_with(self, state: Mapping[str, Tensor]) -> None:
        """Take up the weights of a compact cascade wherever its widths and counts fit: in the coarse and the fine level
        (with those of `cnlrn-s`), or in the near one (`cnlrn-xs`).

        CnlrnError where they fit none.
        """
        own = self.state_dict()
        taken: dict[str, Tensor] = {}
        for size, name in enumerate(("near", "fine", "coarse")):  # of the surveys at 1/2, 1/4 and 1/8
            level = _of_level(state, name, size, getattr(self, name).scale)
            wide = torch.zeros_like(own[f"{name}.tuning.inner.weight"])
            told = state["tuning.inner.weight"]
            if told.shape[1] * 3 == wide.shape[1]:
                wide[:, size * told.shape[1] : (size + 1) * told.shape[1]] = told
                level[f"{name}.tuning.inner.weight"] = wide
            if all(place in own and value.shape == own[place].shape for place, value in level.items()):
                taken |= level
        if not taken:
            raise CnlrnError("these weights of a cascade fit no level of this network: its widths or counts differ")
        self.load_state_dict(taken, strict=False)
        for name in ("near", "fine", "coarse"):
            if f"{name}.exit.bias" in taken:
                getattr(self, name).leave_plain()

    def forward(
        self, lr: Tensor, scale: int = 1, survey: Tensor | None = None, features: Tensor | None = None
    ) -> Tensor:
        """See `RestorationNetwork.forward`; `survey` is that of the whole photo and `features` is the near
        level's difference to it, made of `lr` itself if None."""
        self.check_scale(scale)
        if features is None:
            survey = self.survey(lr) if survey is None else survey
            for index in range(len(self.coarse_to_fine)):
                features = self.level(index, lr, survey, features)
        assert features is not None
        return self._steadied(lr, features)

    def outputs(self, lr: Tensor, survey: Tensor | None = None, features: Tensor | None = None) -> dict[int, Tensor]:
        """See `RestorationNetwork.outputs`."""
        return {1: self(lr, 1, survey, features)}

    def survey(self, lr: Tensor) -> Tensor:
        """See `RestorationNetwork.survey`."""
        surveys = [surveyor(picture) for surveyor, picture in zip(self.surveyors, self._reduced(lr), strict=True)]
        return torch.cat(surveys, 1)

    def level(self, index: int, lr: Tensor, survey: Tensor | None, before: Tensor | None) -> Tensor:
        """See `RestorationNetwork.level`: 0 is the coarse level, 1 the fine one with the coarse one's drawing, 2
        is the mixture's difference to the photo."""
        assert survey is not None
        half, quarter, eighth = self._reduced(lr)
        if index == 0 or before is None:
            coarse: Tensor = self.coarse(eighth, survey)
            return coarse
        if index == 1:
            entering = F.pixel_shuffle(self.from_coarse(before), 2) + self.fine_detail(F.pixel_unshuffle(lr, _FINE))
            drawn = self.coarse.draw(eighth, before)
            return torch.cat([self.fine(quarter, survey, entering), F.pixel_unshuffle(drawn, 2)], 1)
        fine, coarse_drawing = before[:, :-12], F.pixel_shuffle(before[:, -12:], 2)
        drawings, features = self._drawings(lr, half, quarter, survey, fine, coarse_drawing)
        return self._mixed(lr, survey, drawings, features)

    def project_target(self, lr: Tensor, target: Tensor, scale: int) -> Tensor:
        """See `RestorationNetwork.project_target`: `target` with the light of `lr`."""
        return self._steadied(lr, target - lr)

    def _drawings(
        self, lr: Tensor, half: Tensor, quarter: Tensor, survey: Tensor, fine: Tensor, coarse_drawing: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """The drawings of the near, the fine and the coarse level (n, 3, h, w), and the near level's features."""
        fine_drawing = self.fine.draw(quarter, fine)
        seen = torch.cat([F.pixel_unshuffle(lr, _NEAR), F.pixel_unshuffle(fine_drawing, _NEAR), coarse_drawing], 1)
        entering = F.pixel_shuffle(self.from_fine(fine), 2) + self.near_detail(seen)
        features: Tensor = self.near(half, survey, entering)
        return [self.near.draw(half, features), fine_drawing, self.doubled(coarse_drawing)], features

    def _mixed(self, lr: Tensor, survey: Tensor, drawings: list[Tensor], features: Tensor) -> Tensor:
        """The difference to the photo of a mixture of it and its drawings, (n, 3, h, w)."""
        (gate,) = self.gate(survey)
        shares = F.pixel_shuffle(self.shares(features), _NEAR) + gate.reshape(-1, 4, 1, 1)
        shares = torch.exp(shares.clamp(-_DECIDED, _DECIDED))  # a softmax over channels is slow in engines
        of_drawings = shares[:, 1:] / shares.sum(1, keepdim=True)
        difference: Tensor = F.pixel_shuffle(self.change(features), _NEAR)
        for index, drawing in enumerate(drawings):
            difference = difference + of_drawings[:, index : index + 1] * (drawing - lr)
        return difference

    def _reduced(self, lr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The photo at a half, a quarter and an eighth of each side."""
        half = self.halved(lr)
        quarter = self.halved(half)
        return half, quarter, self.halved(quarter)

    def _steadied(self, photo: Tensor, difference: Tensor) -> Tensor:
        """The photo with `difference`, less what that would add to the light around each pixel, so that colours cannot
        drift; but where much of a cell is white, the light there was clipped and nobody knows it."""
        excess = excess_light(photo, difference, self.cell)
        white = ((photo.amax(1, keepdim=True) - _NEARLY) / (_WHITE - _NEARLY)).clamp(0, 1)
        known = (1 - F.avg_pool2d(white, self.cell) / _CLIPPED_SHARE).clamp(0, 1)
        steady = F.interpolate(excess * known, scale_factor=float(self.cell), mode="bilinear", align_corners=False)
        return photo + difference - steady


def _of_level(state: Mapping[str, Tensor], name: str, size: int, scale: int) -> dict[str, Tensor]:
    """The weights of a cascade under the names that they have in a level and its survey."""
    level: dict[str, Tensor] = {}
    for entry, value in state.items():
        part, _, rest = entry.partition(".")
        if part in ("deblur", "tuning"):
            level[f"{name}.{entry}"] = value
        elif part == "body":
            level[f"{name}.body.{rest.partition('.')[2]}"] = value
        elif part == "surveyor":
            level[f"surveyors.{size}.{rest}"] = value
        elif part in ("upsample1", f"exit{scale}"):
            level[f"{name}.{'exit' if part != 'upsample1' else 'upsample'}.{rest}"] = value
    return level
