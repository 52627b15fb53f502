"""Train every compact network on the same pairs for the same time, then measure all of them, and chains, in one report.

    python measurements/compare.py PHOTOS --set shake=FOLDER --set clean=FOLDER

PHOTOS is a folder of sharp pictures; a set is a folder that holds blurry_x4/ and sharp/, and the first one ranks. With
nothing else running this takes `--minutes` for each of some thirty runs. What is trained already is not trained again,
so the command may be interrupted and called again, with `--only` for a part of the runs; it measures what is trained by
then. Besides each network of a paper it trains `cnlrn-s` without one of its parts at a time, the best three again with
another seed (`"NAME, seed 1"`), and the best enlarging one on pairs without blur (`NAME-bicubic`), for chains.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

RECIPE = Path(__file__).parents[1] / "configs" / "compare.yaml"
OURS = "{exits: {4: 1.0, 2: 0.2, 1: 0.2}, gradient: %s, squared: 4.0}"  # loss of cnlrn-s


@dataclass(frozen=True)
class Run:
    """A network and what its recipe changes: one tuple of changes for each of its stages, which share the time."""

    name: str
    network: str
    kind: str
    stages: tuple[tuple[str, ...], ...] = ((),)
    seed: int = 0

    def preset(self) -> dict[str, int]:
        """Hyper-parameters that differ from the preset's."""
        changes = [change.removeprefix("preset.").split("=") for change in self.stages[-1] if "preset." in change]
        return {key: int(value) for key, value in changes}


ENLARGING = ("srcnn", "vdsr", "lapsrn", "srresnet", "edsr", "rdn", "rcan", "dbpn", "rrdbnet", "ikc")
DEBLURRING = ("deblurgan", "deblurgan-v2", "srn", "pss-nsc", "mprnet")
JOINT = ("cnlrn", "scgan", "ed-dsrn", "gfn")
RUNS = (
    *(Run(f"{name}-s", f"{name}-s", "joint") for name in JOINT),
    *(Run(f"{name}-s", f"{name}-s", "sr") for name in ENLARGING),
    *(Run(f"{name}-s", f"{name}-s", "deblur") for name in DEBLURRING),
    Run("srgan-s", "srresnet-s", "sr", ((), ("loss=srgan",))),
    Run("esrgan-s", "rrdbnet-s", "sr", ((), ("loss=esrgan",))),
    Run("without non-local blocks", "cnlrn-s", "ablation", (("preset.attention_width=0",),)),
    Run("without gradient loss", "cnlrn-s", "ablation", ((f"loss={OURS % 0}",),)),
    Run("without progressive upsampling", "cnlrn-s", "ablation", (("preset.progressive=0",),)),
    Run("without survey", "cnlrn-s", "ablation", (("preset.survey_width=0",),)),
    Run("without deblurring module", "cnlrn-s", "ablation", (("preset.deblurring=0",),)),
    Run("with pretraining", "cnlrn-s", "ablation", (("loss={exits: {1: 1.0}}",), ())),
)
AGAIN = {run.name: replace(run, name=f"{run.name}, seed 1", seed=1) for run in RUNS if run.kind in ("sr", "joint")}
WITHOUT_BLUR = {
    run.name: replace(
        run,
        name=f"{run.name}-bicubic",
        stages=tuple(("data.degradation=bicubic", *changes) for changes in run.stages),
    )
    for run in RUNS
    if run.kind == "sr"
}
EVERY = {run.name: run for run in (*RUNS, *AGAIN.values(), *WITHOUT_BLUR.values())}


def train(run: Run, folder: Path, photos: Path, sets: dict[str, str], minutes: float) -> float:
    """Train all stages of `run` in `folder` unless they are trained; its PSNR on the first of `sets` at the end."""
    before: list[str] = []
    for number, changes in enumerate(run.stages):
        out = folder / f"stage{number}"
        if not (out / "run.json").exists():
            validation = sets if number == len(run.stages) - 1 else {}
            settings = [
                *(f"network={run.network}", f"seed={run.seed}", "validate_every=1000000", f"data.folder={photos}"),
                *(f"validation={json.dumps(validation)}", *changes),
            ]
            command = ["train", str(RECIPE), "--out", str(out), "--minutes", str(minutes / len(run.stages)), *before]
            cnlrn(*command, *(word for setting in settings for word in ("--set", setting)))
        before = ["--init", str(out / "weights.safetensors")]
    scores: dict[str, dict[str, float]] = json.loads((out / "run.json").read_text())["scores"]
    return scores[next(iter(sets))]["psnr"]


def suite(trained: dict[str, Path], sets: dict[str, str]) -> dict[str, object]:
    """What was trained, name to weights, what is shipped, and chains of each deblurring network with enlarging ones:
    behind it one that knows blur, and behind or before it the same trained without."""
    systems: dict[str, object] = {"bicubic": {"kind": "bicubic"}}
    systems |= {f"{name}, shipped": {"model": name} for name in ("cnlrn-s", "cnlrn-xs")}
    for name, weights in trained.items():
        systems[name] = {"network": EVERY[name].network, "weights": str(weights), "preset": EVERY[name].preset()}
    enlarging = [name for name, run in WITHOUT_BLUR.items() if {name, run.name} <= trained.keys()]
    for deblurring in (name for name in trained if EVERY[name].kind == "deblur"):
        for name in enlarging:
            for second in (f"{name}-bicubic", name):
                systems[f"{deblurring}, {second}"] = {"chain": f"deblur:{deblurring} + sr:{second}"}
            systems[f"{name}-bicubic, {deblurring}"] = {"chain": f"sr:{name}-bicubic + deblur:{deblurring}"}
    return {"sets": sets, "systems": systems}


def cnlrn(*words: str) -> None:
    """Run a command of cnlrn; the script ends where it fails."""
    print("cnlrn", *words, flush=True)
    if subprocess.run([sys.executable, "-m", "cnlrn", *words]).returncode:
        raise SystemExit(f"cnlrn {words[0]} failed")


def main() -> None:
    """Train, then write the suite and measure it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--set", action="append", required=True, metavar="NAME=FOLDER", dest="sets")
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--only", nargs="+", choices=EVERY, metavar="NAME", help="train these and no others")
    arguments = parser.parse_args()
    sets = dict(text.split("=", 1) for text in arguments.sets)
    folders = {name: arguments.out / name.replace(", ", "-").replace(" ", "-") for name in EVERY}

    def trained(run: Run) -> float:
        return train(run, folders[run.name], arguments.photos, sets, arguments.minutes)

    if arguments.only:
        for name in arguments.only:
            trained(EVERY[name])
    else:
        figures = {run.name: trained(run) for run in RUNS}
        best = sorted(AGAIN, key=figures.__getitem__, reverse=True)
        for name in best[:3]:
            trained(AGAIN[name])
        trained(WITHOUT_BLUR[next(name for name in best if name in WITHOUT_BLUR)])
    weights = {
        name: folder / f"stage{len(EVERY[name].stages) - 1}" / "weights.safetensors" for name, folder in folders.items()
    }
    finished = {name: file for name, file in weights.items() if file.with_name("run.json").exists()}
    file = arguments.out / "suite.yaml"
    file.write_text(yaml.safe_dump(suite(finished, sets), sort_keys=False))
    cnlrn("benchmark", str(file), "--out", str(arguments.out / "report"))


if __name__ == "__main__":
    main()
