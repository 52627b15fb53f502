"""A server in this process, with a model of a few bytes, and a picture to send."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from serving import Serve, png
from starlette.testclient import TestClient
from tiny_model import write_tiny_model

from cnlrn.server.app import Application
from cnlrn.server.settings import Settings

BASE = "http://127.0.0.1"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the server keeps results."""
    return tmp_path / "results"


@pytest.fixture
def serve(model: str, folder: Path) -> Iterator[Serve]:
    """Starts servers with the settings that it is called with."""
    with ExitStack() as running:

        def start(**settings: Any) -> TestClient:
            application = Application(Settings(**{"model": model, "folder": folder} | settings))
            client = TestClient(application, base_url=BASE, raise_server_exceptions=False)
            client.application = application  # type: ignore[attr-defined]
            return running.enter_context(client)

        yield start


@pytest.fixture
def client(serve: Serve) -> TestClient:
    return serve()


@pytest.fixture
def photo() -> bytes:
    return png()
