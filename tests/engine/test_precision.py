import platform
import sys
from pathlib import Path

import pytest

from cnlrn.engine.precision import settled
from cnlrn.errors import CnlrnError

PROCESSORS = {
    ("x86_64", "flags\t\t: fpu sse2 avx avx2 fma"): "auto",
    ("x86_64", "flags\t\t: fpu sse2 avx"): "float32",
    ("aarch64", "Features\t: fp asimd asimddp"): "auto",
    ("aarch64", "Features\t: fp asimd"): "float32",
    ("riscv64", "isa\t: rv64imafdc"): "float32",
    ("x86_64", "\xff\x00 nonsense"): "float32",
    ("x86_64", "flags"): "float32",
}


@pytest.mark.parametrize(("told", "expected"), PROCESSORS.items(), ids=str)
def test_auto_is_float32_where_the_processor_is_not_known_to_gain(
    told: tuple[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, line = told
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "platform", "linux")
    processor = tmp_path / "cpuinfo"
    processor.write_text(f"processor\t: 0\n{line}\nbugs\t: avx2 asimddp\n", encoding="latin-1")
    assert settled("auto", "cpu", processor) == expected
    assert settled("auto", "cuda", processor) == "float32"
    assert (settled("int8", "cpu", processor), settled("float32", "cpu", processor)) == ("int8", "float32")


def test_a_processor_that_tells_nothing_computes_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert settled("auto", "cpu", tmp_path / "absent") == "float32"
    assert settled("auto", "cpu", tmp_path) == "float32"


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(CnlrnError, match=r"no precision 'int-8'; did you mean int8\?"):
        settled("int-8", "cpu")
