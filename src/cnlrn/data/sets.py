"""Sets of blurry and sharp pictures on disk, with their own layouts and splits: the published ones and plain folders.

Pairs of the published sets are read as x4 pairs: where blurry pictures are as large as sharp ones, both are cropped to
multiples of 4 and the LR picture is the blurry one reduced by the protocol's bicubic. A plain folder holds x4 pairs or
pairs of one size. Nothing is downloaded here, and no training samples are drawn: see `sources`.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from cnlrn.data import pictures
from cnlrn.data.pictures import Byte
from cnlrn.degradation import SCALE
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError, cut
from cnlrn.files import expanded
from cnlrn.leftovers import is_leftover

Split = Literal["train", "test"]

BLURRY = {SCALE: "blurry_x4", 1: "blurry"}
"""The folder of blurry pictures beside sharp/, by how many times as wide and high the sharp ones are."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A blurry picture and the sharp one, or the several equally right ones, that belong to it."""

    name: str
    blurry: Path
    sharp: tuple[Path, ...]
    full_size: bool = False
    """The blurry file is as large as the sharp one, and `read` makes an x4 pair of them."""
    scale: int = SCALE
    """How many times as wide and high as the blurry picture the sharp one is when they are read: 4, or 1."""

    def read(self) -> tuple[Byte, Byte]:
        """Blurry and sharp picture (of several, the middle one), uint8 HWC RGB.

        CnlrnError where one cannot be read or their sizes do not belong together.
        """
        sharp_file = self.sharp[len(self.sharp) // 2]
        blurry, sharp = read(self.blurry), read(sharp_file)
        expected = tuple(length if self.full_size else length * self.scale for length in blurry.shape[:2])
        if sharp.shape[:2] != expected:
            of_one_size = sharp.shape == blurry.shape
            hint = "; pairs of one size are to be in folders called blurry and sharp" if of_one_size else ""
            raise CnlrnError(
                f"{self.blurry} and {sharp_file} are no pair: a sharp picture of {_size(expected)} pixels belongs to "
                f"the blurry one, but it has {_size(sharp.shape)}{hint}"
            )
        if self.full_size:
            return reduced(_cropped(blurry)), _cropped(sharp)
        return blurry, sharp

    def references(self) -> Iterator[Byte]:
        """All sharp pictures, one after the other, of the size that `read` gives; CnlrnError names one unreadable."""
        for file in self.sharp:
            yield _cropped(read(file)) if self.full_size else read(file)


@dataclass(frozen=True)
class PairSet:
    """The pairs of one split of a set; nothing is read before a pair is."""

    name: str
    pairs: list[Pair]

    @property
    def scale(self) -> int:
        """How many times as wide and high as the blurry pictures the sharp ones are: 4, or 1."""
        return self.pairs[0].scale

    def __len__(self) -> int:
        """How many pairs there are, at least one."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[Pair]:
        """The pairs in the order of the set."""
        return iter(self.pairs)

    def pictures(self) -> Iterator[tuple[str, Byte, Byte]]:
        """Name, blurry and sharp picture of each pair, read one at a time as `Pair.read` does."""
        for pair in self.pairs:
            yield pair.name, *pair.read()


def open_set(spec: str | Path, split: Split = "test") -> PairSet:
    """The pairs of a set on disk: `reds:FOLDER` and so on (the names in `SETS`), or a plain folder of pairs.

    A plain FOLDER holds blurry_x4/ and sharp/, or blurry/ and sharp/ with pairs of one size, matched by name, or REDS;
    `pairs:LR,SHARP` are two folders of any name. None has splits. A split with fewer or more pairs than the published
    one is used with a warning.

    Raises:
        CnlrnError: the set is not known, is absent, has another layout or no such split; says where to get it.
    """
    text = str(spec)
    kind, colon, place = text.partition(":")
    if colon and kind == "pairs":
        lr, comma, sharp = place.partition(",")
        if not comma or not lr or not sharp:
            raise CnlrnError(f"{cut(text, 200)} names no two folders; write pairs:LR_FOLDER,SHARP_FOLDER")
        return PairSet(text, match(expanded(lr, "the folder"), expanded(sharp, "the folder")))
    if colon and kind in SETS:
        return _published(kind, place, split)
    folder = expanded(text, "the set")
    if (folder / "val_sharp").is_dir():
        return _published("reds", text, split)
    scales = [scale for scale, name in BLURRY.items() if (folder / name).is_dir()]
    if not scales or not (folder / "sharp").is_dir():
        raise CnlrnError(
            f"{text} is no set of pairs: a folder of pairs holds sharp and, beside it, blurry_x4, or blurry for pairs "
            f"of one size, and {_found(folder)}; a published set is named as in reds:FOLDER, and known ones are "
            f"{', '.join(SETS)}"
        )
    if len(scales) > 1:
        raise CnlrnError(
            f"{text} holds blurry_x4 and blurry, which are sets of their own; move one of them into another folder, "
            f"with its sharp pictures, or name pairs:{text}/blurry_x4,{text}/sharp"
        )
    (scale,) = scales
    return PairSet(folder.resolve().name, match(folder / BLURRY[scale], folder / "sharp", scale=scale))


def match(
    lr_folder: Path, hr_folder: Path, full_size: bool = False, prefix: str = "", scale: int = SCALE
) -> list[Pair]:
    """Pairs of pictures with equal name stems in two folders, sorted by name, named `prefix` + stem.

    CnlrnError names the first HR picture that has no LR one, or the other way round, and two of one stem in a folder.
    """
    lr, hr = (_by_stem(folder) for folder in (lr_folder, hr_folder))
    for here, there, folder in ((lr, hr, hr_folder), (hr, lr, lr_folder)):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise CnlrnError(f"{here[alone[0]]} has no partner named {alone[0]} in {folder}")
    return [Pair(prefix + stem, lr[stem], (hr[stem],), full_size, scale) for stem in sorted(lr)]


def _by_stem(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by the stems of their names, of which each may be there once."""
    files: dict[str, Path] = {}
    for path in pictures.find(folder):
        if path.stem in files:
            raise CnlrnError(f"{files[path.stem]} and {path} have one name; remove or rename one of them")
        files[path.stem] = path
    return files


def read(file: Path) -> Byte:
    """The picture as uint8 HWC RGB; CnlrnError where it cannot be decoded or is too large."""
    picture = pictures.read(file)
    if picture is None:
        raise CnlrnError(f"{file} cannot be read as a picture; repair it, or remove it and its partner")
    return picture


def reduced(picture: Byte) -> Byte:
    """A quarter of the width and height (multiples of 4) by the protocol's bicubic, rounded as MATLAB rounds."""
    return np.asarray(np.clip(np.floor(bicubic(picture, 1 / SCALE) + 0.5), 0, 255), np.uint8)


def _reds(root: Path, split: Split) -> list[Pair]:
    """NTIRE 2021's low-resolution track; its test pictures were never published, so Val300 serves: frames 9, 19, ...

    Bai et al., CVPRW 2021, name it so: frames 00000009, 00000019, ..., 00000099 of each of the 30 validation clips.
    """
    part = "train" if split == "train" else "val"
    blurry, sharp = root / f"{part}_blur_bicubic" / "X4", root / f"{part}_sharp"
    pairs = [pair for clip in _folders(sharp) for pair in match(blurry / clip, sharp / clip, prefix=f"{clip}_")]
    return pairs if split == "train" else [pair for pair in pairs if pair.name.endswith("9")]


def _gopro(root: Path, split: Split, blurry: str) -> list[Pair]:
    sequences = root / split
    return _videos(sequences, _folders(sequences), blurry, "sharp")


_DVD_TEST = [
    "720p_240fps_2",
    "IMG_0003",
    "IMG_0021",
    "IMG_0030",
    "IMG_0031",
    "IMG_0032",
    "IMG_0033",
    "IMG_0037",
    "IMG_0039",
    "IMG_0049",
]


def _dvd(root: Path, split: Split) -> list[Pair]:
    """The videos with sharp frames: the ten that Su et al. report on are the test split, the other 61 for training."""
    videos = root / "quantitative_datasets"
    names = [name for name in _folders(videos) if name not in _DVD_TEST] if split == "train" else _DVD_TEST
    return _videos(videos, names, "input", "GT")


def _realblur(root: Path, split: Split, kind: Literal["J", "R"]) -> list[Pair]:
    """The set's own lists: a line names a sharp and a blurry picture, .../SCENE/gt/gt_N.png and .../blur/blur_N.png."""
    listing = root / f"RealBlur_{kind}_{split}_list.txt"
    if not listing.is_file():
        raise CnlrnError(f"there is no list {listing}")
    pairs = []
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), 1):
        files = {Path(word).parent.name: root / word for word in line.split()}
        if not files:
            continue
        if not {"gt", "blur"} <= files.keys():
            raise CnlrnError(f"line {number} of {listing} names no picture in gt and one in blur")
        for file in (files["gt"], files["blur"]):
            if not file.is_file():
                raise CnlrnError(f"{file}, in line {number} of {listing}, does not exist")
        scene = files["blur"].parent.parent.name
        number_in_scene = files["blur"].stem.removeprefix("blur_")
        pairs.append(Pair(f"{scene}_{number_in_scene}", files["blur"], (files["gt"],), full_size=True))
    if not pairs:
        raise CnlrnError(f"{listing} is empty")
    return pairs


def _kohler(root: Path, split: Split) -> list[Pair]:
    """Blurry pictures and, for each, the sharp ones from along the camera's path, wherever they are below `root`."""
    blurry: dict[tuple[int, int], Path] = {}
    frames: dict[tuple[int, int], list[tuple[int, Path]]] = defaultdict(list)
    for path in sorted(root.rglob("*.png")):
        if is_leftover(path.relative_to(root)):
            continue
        if found := re.fullmatch(r"Blurry(\d+)_(\d+)", path.stem):
            blurry[int(found[1]), int(found[2])] = path
        elif found := re.fullmatch(r"GroundTruth(\d+)_(\d+)_(\d+)", path.stem):
            frames[int(found[1]), int(found[2])].append((int(found[3]), path))
    if not blurry:
        raise CnlrnError(f"there is no Blurry1_1.png below {root}")
    for picture, trajectory in sorted(blurry):
        if (picture, trajectory) not in frames:
            raise CnlrnError(f"there is no GroundTruth{picture}_{trajectory}_1.png below {root}")
    return [
        Pair(blurry[key].stem, blurry[key], tuple(path for _, path in sorted(frames[key])), full_size=True)
        for key in sorted(blurry)
    ]


@dataclass(frozen=True)
class Published:
    """What to tell about a published set, and how its pairs are found below a folder."""

    title: str
    layout: str
    source: str
    """Where to download it, in words."""
    pairs: Callable[[Path, Split], list[Pair]]
    sizes: Mapping[Split, int]
    """How many pairs the published splits have."""


def _gopro_set(blurry: str) -> Published:
    """GOPRO_Large with one of its two folders of blurry pictures."""
    return Published(
        "GOPRO_Large",
        f"test/GOPR0384_11_00/{blurry}/000001.png and .../sharp/000001.png, and so with train",
        "GOPRO_Large on Seungjun Nah's page of the GOPRO dataset (Nah et al., Deep Multi-scale Convolutional Neural "
        "Network for Dynamic Scene Deblurring, CVPR 2017)",
        partial(_gopro, blurry=blurry),
        {"train": 2103, "test": 1111},
    )


def _realblur_set(kind: Literal["J", "R"]) -> Published:
    """RealBlur from the camera's JPEG files or from raw ones."""
    return Published(
        "RealBlur",
        f"RealBlur_{kind}_test_list.txt and the pictures that it lists, .../scene005/gt/gt_1.png and "
        ".../blur/blur_1.png",
        "the RealBlur archive on the page of POSTECH's Computer Graphics Lab on \"Real-World Blur Dataset for Learning "
        'and Benchmarking Deblurring Algorithms" (Rim et al., ECCV 2020)',
        partial(_realblur, kind=kind),
        {"train": 3758, "test": 980},
    )


SETS: Mapping[str, Published] = {
    "reds": Published(
        "REDS",
        "val_blur_bicubic/X4/000/00000000.png and val_sharp/000/00000000.png, and so with train",
        "Seungjun Nah's page of the REDS dataset, Blur Bicubic and Sharp (NTIRE 2021 Image Deblurring, Track 1)",
        _reds,
        {"train": 24000, "test": 300},
    ),
    "gopro": _gopro_set("blur_gamma"),
    "gopro-linear": _gopro_set("blur"),
    "dvd": Published(
        "DeepVideoDeblurring_Dataset",
        "quantitative_datasets/IMG_0003/input/00000.jpg and .../GT/00000.jpg",
        'DeepVideoDeblurring_Dataset on the project page of "Deep Video Deblurring for Hand-held Cameras" (Su et al., '
        "CVPR 2017)",
        _dvd,
        {"train": 5708, "test": 1000},
    ),
    "realblur-j": _realblur_set("J"),
    "realblur-r": _realblur_set("R"),
    "kohler": Published(
        "Köhler's benchmark",
        "Blurry1_1.png to Blurry4_12.png and GroundTruth1_1_1.png and so on, in any subfolders",
        "the page of the Benchmark for Camera Shake, Max Planck Institute for Intelligent Systems, Tübingen (Köhler et "
        "al., Recording and Playback of Camera Shake, ECCV 2012): the blurry images and the ground truth",
        _kohler,
        {"test": 48},
    ),
}
"""The published sets by the name that comes before the colon."""


def _published(kind: str, place: str, split: Split) -> PairSet:
    published = SETS[kind]
    if not place:
        raise CnlrnError(f"{kind}: names no folder; write {kind}:FOLDER, the folder that holds {published.title}")
    if split not in published.sizes:
        raise CnlrnError(f"{published.title} ({kind}) has no {split} split; it serves to evaluate only")
    folder = expanded(place, f"the folder of {kind}")
    try:
        pairs = published.pairs(folder, split)
        if not pairs:
            raise CnlrnError(f"there are no pairs of the {split} split in {folder}")
    except CnlrnError as error:
        raise CnlrnError(
            f"{error}; {kind}:{place} should hold {published.layout}, and {_found(folder)}; get "
            f"{published.title} from {published.source} and unpack it into {folder}"
        ) from error
    if len(pairs) != published.sizes[split]:
        log.warning(
            "%s:%s has %d pairs, the published %s split %d; figures on it are not those of the whole set",
            *(kind, place, len(pairs), split, published.sizes[split]),
        )
    return PairSet(kind, pairs)


def _videos(parent: Path, names: list[str], blurry: str, sharp: str) -> list[Pair]:
    """Pairs of full-sized frames in `parent`/NAME/`blurry` and `parent`/NAME/`sharp`."""
    return [
        pair
        for name in names
        for pair in match(parent / name / blurry, parent / name / sharp, full_size=True, prefix=f"{name}_")
    ]


def _folders(parent: Path) -> list[str]:
    found = parent.iterdir() if parent.is_dir() else ()
    names = sorted(path.name for path in found if path.is_dir() and not is_leftover(Path(path.name)))
    if not names:
        raise CnlrnError(f"there are no folders of frames in {parent}")
    return names


def _found(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder}"
    names = sorted(path.name for path in folder.iterdir() if not is_leftover(Path(path.name)))
    if not names:
        return f"{folder} is empty"
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{folder} holds {', '.join(names[:4])}{more}"


def _cropped(picture: Byte) -> Byte:
    height, width = (length // SCALE * SCALE for length in picture.shape[:2])
    return picture[:height, :width]


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
