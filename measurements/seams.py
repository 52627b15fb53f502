"""The seams of a network that looks at the whole picture, tile by tile: `python measurements/seams.py`.

Restores an example whole and in blended tiles and prints how far the two are apart, as a share of the contrast of the
whole result (its standard deviation), so that random weights tell something as well.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cnlrn import images, networks
from cnlrn.networks.checkpoints import load_checkpoint
from cnlrn.restoration import tiling as tiles

EXAMPLE = Path(__file__).parents[1] / "examples" / "colosseum.png"


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="cnlrn")
    parser.add_argument("--weights", type=Path, help="random ones, seed 0, if not given")
    parser.add_argument("--picture", type=Path, default=EXAMPLE)
    given = parser.parse_args()
    torch.manual_seed(0)
    network = networks.build(given.network).eval()
    if given.weights:
        load_checkpoint(network, given.weights)
    lr = images.read(given.picture).pixels
    height, width = lr.shape[:2]
    scale = max(network.scales)

    def restore(piece: NDArray[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            result = network(torch.from_numpy(piece).permute(2, 0, 1)[None] / 255, scale)
        return np.asarray(result[0].permute(1, 2, 0).numpy(), np.float32)

    def restored(tile: int) -> NDArray[np.float32]:
        blocks = tiles.blocks(
            restore,
            lambda rows, columns: lr[rows, columns],
            height,
            width,
            scale=scale,
            area=(tile + 2 * tiles.BLEND) ** 2,
            context=network.context,
            multiple=network.multiple,
        )
        result = np.empty((height * scale, width * scale, 3), np.float32)
        for top, left, block in blocks:
            result[top : top + block.shape[0], left : left + block.shape[1]] = block
        return result

    whole = restored(max(height, width))
    print("| `--tile` | mean difference | largest difference |\n| --- | --- | --- |")
    for tile in (48, 64, 96):
        difference = np.abs(restored(tile) - whole) / whole.std()
        print(f"| {tile} | {difference.mean():.2%} | {difference.max():.1%} |", flush=True)


if __name__ == "__main__":
    main()
