"""`cnlrn-own`: a photo at its own size made sharp, coarse to fine, by the parts of the compact cascades.

A reduction would take away what a photo has to keep, so only the costly parts work on reduced pictures. The coarse
level sees the photo at an eighth of each side, where a strong shake is a few pixels long. The fine level sees it at a
quarter, with the coarse level's features and the detail that the reduction loses. At half the photo's size a few
residual blocks join what the fine level draws with the photo itself. The result is the photo plus a difference. For
the whole picture gates scale the difference and choose how much of the fine level's drawing goes into it. As in the
compact cascades, it may neither add nor take light over large areas. Surveys of the photo at three sizes tune every
block. Sources: CNLRN (CVPRW 2021) for the cascade, Nah et al. (CVPR 2017) and SRN (Tao et al., CVPR 2018) for coarse
to fine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
    ResBlock,
    Survey,
    Tuning,
    excess_light,
    reach_of_features,
)

_FINE, _COARSE = 4, 8
_WHITE, _NEARLY = 0.98, 0.92
"""Values from which light may have been clipped surely, and possibly."""
_CLIPPED_SHARE = 0.05
"""Of a cell's pixels that are white, from which its light is not known."""


@dataclass(frozen=True)
class OwnSizePreset:
    """Hyper-parameters of `OwnSizeCNLRN`. Widths are channels, the others counts of blocks or sizes in pixels."""

    width: int = 32
    """Channels at a quarter and an eighth of the photo's size."""
    half_width: int = 64
    """Channels at half of these."""
    quarter_width: int = 96
    """Channels at a quarter of these."""
    quarter_blocks: int = 2
    """Residual blocks there."""
    group_blocks: int = 8
    """Residual blocks after the encoder-decoder of each level."""
    attention_width: int = 64
    """Channels of a token in the non-local blocks; 0 leaves these blocks out."""
    rich_width: int = 16
    """Channels that the fine level gives at half the photo's size."""
    joining_width: int = 32
    """Channels of the blocks at half the photo's size."""
    joining_blocks: int = 2
    survey_width: int = 64
    """Channels of each survey."""

    @property
    def level(self) -> CompactPreset:
        """What a level has in common with the compact cascades."""
        return CompactPreset(
            width=self.width,
            half_width=self.half_width,
            quarter_width=self.quarter_width,
            quarter_blocks=self.quarter_blocks,
            group_blocks=self.group_blocks,
            attention_width=self.attention_width,
            survey_width=self.survey_width,
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
    """A deblurring module and a non-local residual group on a reduced photo."""

    def __init__(self, preset: CompactPreset) -> None:
        """Widths and counts from the preset."""
        super().__init__()
        self.deblur = DeblurringModule(preset)
        self.body = NonLocalGroup(preset)

    def forward(self, picture: Tensor, tuning: Iterator[Tensor | None], entering: Tensor | None = None) -> Tensor:
        """(n, 3, h, w) to features (n, width, h, w), h and w multiples of 16; `entering` are features (n, width, h, w)
        from elsewhere that join those of the picture."""
        features: Tensor = self.body(self.deblur(picture, entering), tuning)
        return features


class OwnSizeCNLRN(RestorationNetwork):
    """Coarse to fine on a photo at its own size; the one exit is x1."""

    scales = (1,)
    deblurring = None

    def __init__(self, preset: OwnSizePreset) -> None:
        """Build with random weights, which leave the photo nearly as it is."""
        super().__init__()
        level = preset.level
        self.multiple = _COARSE * level.patch * level.window
        self.cell = self.multiple // 2
        reach, grid, width = reach_of_features(level), level.patch * level.window, preset.width
        self.coarse_to_fine = tuple(
            LevelOfDetail(size, width, _rounded(size * reach + 4 * (size - 1) + beyond, size * grid))
            for size, beyond in ((_COARSE, 0), (_FINE, _COARSE))
        )
        self.context = _rounded(_FINE + 2 * (4 + 2 * preset.joining_blocks) + self.cell * 3 // 2, self.cell)
        self.halved = Halved()
        self.surveyors = nn.ModuleList(Survey(preset.survey_width) for _ in range(3))
        blocks, joining = preset.group_blocks, preset.joining_width
        self.coarse_tuning = Tuning(preset.survey_width, blocks, width, surveys=3)
        self.fine_tuning = Tuning(preset.survey_width, blocks, width, surveys=3)
        self.joining_tuning = Tuning(preset.survey_width, preset.joining_blocks, joining, surveys=3)
        self.coarse = Level(level)
        self.fine = Level(level)
        self.from_coarse = nn.Conv2d(width, 4 * width, 1)
        self.detail = conv3(3 * _FINE**2, width)
        self.upsample = conv3(width, 4 * preset.rich_width)
        self.sketch = conv3(preset.rich_width, 12)
        self.enlarged = Bicubic(_FINE)
        self.joined = conv3(preset.rich_width + 24, joining)
        self.joining = nn.ModuleList(ResBlock(joining) for _ in range(preset.joining_blocks))
        self.exit = conv3(joining, 24)
        self.gate = Tuning(preset.survey_width, 1, 1, surveys=3)
        for parameter in (*self.from_coarse.parameters(), *self.detail.parameters()):
            nn.init.zeros_(parameter)
        self.exit.weight.data.mul_(0.1)

    @torch.no_grad()
    def begin_with(self, state: Mapping[str, Tensor]) -> None:
        """Take up the weights of a compact cascade: its body becomes each level, its exit at x4 the fine level's.

        CnlrnError where its widths or counts are others.
        """
        own = self.state_dict()
        taken: dict[str, Tensor] = {}
        for name, value in state.items():
            part, _, rest = name.partition(".")
            if part == "deblur":
                places = [f"{level}.{name}" for level in ("coarse", "fine")]
            elif part == "body":
                places = [f"{level}.body.{rest.partition('.')[2]}" for level in ("coarse", "fine")]
            elif part == "surveyor":
                places = [f"surveyors.{size}.{rest}" for size in range(3)]
            else:
                places = [{"upsample1": "upsample", "exit4": "sketch"}.get(part, part) + f".{rest}"]
            taken.update({place: value for place in places if place in own})
        told = state["tuning.inner.weight"]
        for tuning, size in (("coarse_tuning", 2), ("fine_tuning", 1)):  # of the surveys at 1/2, 1/4 and 1/8
            wide = torch.zeros_like(own[f"{tuning}.inner.weight"])
            wide[:, size * told.shape[1] : (size + 1) * told.shape[1]] = told
            taken |= {
                f"{tuning}.{rest}": state[f"tuning.{rest}"] for rest in ("inner.bias", "outer.weight", "outer.bias")
            }
            taken[f"{tuning}.inner.weight"] = wide
        unfit = [name for name, value in taken.items() if value.shape != own[name].shape]
        if unfit:
            raise CnlrnError(f"these weights of a cascade do not fit this preset: {unfit[0]} has another shape")
        self.load_state_dict(taken, strict=False)

    def forward(
        self, lr: Tensor, scale: int = 1, survey: Tensor | None = None, features: Tensor | None = None
    ) -> Tensor:
        """See `RestorationNetwork.forward`; `survey` and the fine level's `features` are those of the whole photo, made
        of `lr` itself if None."""
        self.check_scale(scale)
        survey = self.survey(lr) if survey is None else survey
        if features is None:
            features = self.level(1, lr, survey, self.level(0, lr, survey, None))
        photo = F.pixel_unshuffle(lr, 2)
        rich = F.pixel_shuffle(F.relu(self.upsample(features)), 2)
        drawn = F.pixel_unshuffle(self.enlarged(self._reduced(lr)[1]), 2) + self.sketch(rich) - photo
        joined = self.joined(torch.cat([rich, drawn, photo], 1))
        for block, tuning in zip(self.joining, self.joining_tuning(survey), strict=True):
            joined = block(joined, tuning)
        change, share = self.exit(joined).chunk(2, 1)
        (gate,) = self.gate(survey)
        share = torch.sigmoid(share - 1 + gate[:, 1])
        difference = torch.sigmoid(2 + gate[:, 0]) * (change + share * drawn)
        return self._steadied(lr, F.pixel_shuffle(difference, 2))

    def outputs(self, lr: Tensor, survey: Tensor | None = None, features: Tensor | None = None) -> dict[int, Tensor]:
        """See `RestorationNetwork.outputs`."""
        return {1: self(lr, 1, survey, features)}

    def survey(self, lr: Tensor) -> Tensor:
        """See `RestorationNetwork.survey`."""
        surveys = [surveyor(picture) for surveyor, picture in zip(self.surveyors, self._reduced(lr), strict=True)]
        return torch.cat(surveys, 1)

    def level(self, index: int, lr: Tensor, survey: Tensor | None, before: Tensor | None) -> Tensor:
        """See `RestorationNetwork.level`: 0 is the coarse level, 1 the fine one."""
        assert survey is not None
        _, quarter, eighth = self._reduced(lr)
        if before is None:
            coarse: Tensor = self.coarse(eighth, iter(self.coarse_tuning(survey)))
            return coarse
        entering = F.pixel_shuffle(self.from_coarse(before), 2) + self.detail(F.pixel_unshuffle(lr, _FINE))
        fine: Tensor = self.fine(quarter, iter(self.fine_tuning(survey)), entering)
        return fine

    def project_target(self, lr: Tensor, target: Tensor, scale: int) -> Tensor:
        """See `RestorationNetwork.project_target`: `target` with the light of `lr`."""
        return self._steadied(lr, target - lr)

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


def _rounded(reach: int, grid: int) -> int:
    """A context that keeps tiles on a grid."""
    return -(-reach // grid) * grid
