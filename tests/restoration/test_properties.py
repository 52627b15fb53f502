"""What holds for every size, depth, number of channels and enlargement, tried on examples that hypothesis thinks of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_model import write_tiny_model

from cnlrn import Restorer, images
from cnlrn.images import Picture

bounded = settings(max_examples=50, deadline=None, database=None, derandomize=True)
sides = st.integers(1, 40)


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[Any]:
    """Height x width, or height x width x 1 to 4 channels; noise, only black and white, or one colour."""
    shape = (draw(sides), draw(sides), *draw(st.sampled_from([(), (1,), (2,), (3,), (4,)])))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    kind = draw(st.sampled_from(["noise", "extremes", "one colour"]))
    values = np.random.default_rng(draw(st.integers(0, 2**32))).random(shape)
    if kind == "one colour":
        values[:] = values[0, 0]
    if kind == "extremes":
        values = np.rint(values)
    return values.astype(dtype) if dtype == np.float32 else np.rint(values * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), threads=1, tile=8)


def channels(array: NDArray[Any]) -> NDArray[Any]:
    """Without alpha."""
    return array[..., :-1] if array.ndim == 3 and array.shape[2] in (2, 4) else array


@bounded
@given(lr=arrays(), scale=st.sampled_from([1, 2, 4]))
def test_an_exit_gives_what_the_network_gives(restorer: Restorer, lr: NDArray[Any], scale: int) -> None:
    hr = restorer.restore(lr, scale)
    assert (hr.shape, hr.dtype) == ((lr.shape[0] * scale, lr.shape[1] * scale, *lr.shape[2:]), lr.dtype)
    expected = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    shown = expected[..., -1] > 0 if channels(lr) is not lr else np.ones(expected.shape[:2], bool)
    np.testing.assert_allclose(
        channels(hr)[shown], channels(expected)[shown], rtol=0, atol=1e-6 if lr.dtype == np.float32 else 0
    )


@bounded
@given(
    lr=arrays(),
    size=st.one_of(
        st.builds(lambda scale: {"scale": scale}, st.floats(0.3, 6)),
        st.builds(lambda width: {"width": width}, st.integers(1, 150)),
        st.builds(lambda height: {"height": height}, st.integers(1, 150)),
        st.builds(lambda width, height: {"width": width, "height": height}, st.integers(1, 150), st.integers(1, 150)),
    ),
)
def test_any_size_comes_out_in_its_depth_and_range(restorer: Restorer, lr: NDArray[Any], size: dict[str, Any]) -> None:
    height, width = lr.shape[:2]
    if "width" in size or "height" in size:
        factor = size["width"] / width if "width" in size else size["height"] / height
        expected = (size.get("width", width * factor), size.get("height", height * factor))
    else:
        expected = (width * size["scale"], height * size["scale"])
    hr = restorer.restore(lr, **size)
    assert hr.shape == (max(1, round(expected[1])), max(1, round(expected[0])), *lr.shape[2:])
    assert hr.dtype == lr.dtype
    if lr.dtype == np.float32:
        assert 0 <= hr.min() <= hr.max() <= 1
    if (lr == lr[0, 0]).all():  # and so its alpha
        np.testing.assert_allclose(hr, np.broadcast_to(lr[0, 0], hr.shape), rtol=0, atol=1e-6)


@bounded
@given(array=arrays(), extension=st.sampled_from([".png", ".tif"]))
def test_a_lossless_format_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, array: NDArray[Any], extension: str
) -> None:
    samples = array.reshape(*array.shape[:2], -1)
    colours = samples.shape[2] - (samples.shape[2] % 2 == 0)
    if array.dtype == np.float32 and extension == ".png":
        samples = np.rint(samples * 65535).astype(np.uint16)
    picture = Picture(samples[..., :colours], samples[..., colours] if colours < samples.shape[2] else None)
    path = Path(tmp_path_factory.getbasetemp()) / f"picture{extension}"
    images.write(picture, path)
    for source in (path, images.encode(picture, extension)):
        back = images.read(source)
        assert back.pixels.dtype == samples.dtype
        np.testing.assert_array_equal(back.pixels, picture.pixels)
        assert (back.alpha is None) == (picture.alpha is None)
        if picture.alpha is not None:
            np.testing.assert_array_equal(back.alpha, picture.alpha)
