"""The HTTP API, asked in this process."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Serve, closed_gate, png, until
from starlette.testclient import TestClient

import cnlrn
from cnlrn import errors, images
from cnlrn.errors import CnlrnError
from cnlrn.server import problems


def problem(response: Any) -> tuple[int, str]:
    """Status and code; the document is as RFC 9457 says."""
    told = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert told["status"] == response.status_code
    assert told["type"] == f"urn:cnlrn:problem:{told['code']}"
    assert told["title"]
    assert told["detail"]
    return response.status_code, told["code"]


def test_a_body_is_restored_as_the_library_does_it(client: TestClient, photo: bytes, model: str) -> None:
    response = client.post("/v1/restore", content=photo)
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert response.content == cnlrn.restore(photo, model=model)


def test_a_form_is_restored_and_its_fields_are_options(client: TestClient, photo: bytes) -> None:
    fields = {"width": "40", "format": "webp", "strength": "", "strip": "true"}
    response = client.post("/v1/restore?strength=0.5", files={"picture": ("../../x.png", photo)}, data=fields)
    assert response.headers["content-type"] == "image/webp"
    assert response.headers["content-disposition"] == 'attachment; filename="restored.webp"'
    assert images.read(response.content).pixels.shape == (30, 40, 3)
    plan = json.loads(response.headers["cnlrn-plan"])
    assert (plan["width"], plan["result_width"], plan["model"]) == (16, 40, "tiny")


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".png", "png"), (".jpg", "jpeg"), (".webp", "webp"), (".tif", "tiff"), (".avif", "avif")]
)
def test_the_format_stays_and_the_type_says_so(client: TestClient, suffix: str, kind: str) -> None:
    response = client.post("/v1/restore", content=png(suffix=suffix), headers={"content-type": "image/x"})
    assert response.headers["content-type"] == f"image/{kind}"
    assert images.open_picture(response.content).format == suffix


def test_nothing_of_a_picture_is_left(client: TestClient, photo: bytes, folder: Path) -> None:
    for _ in range(3):
        client.post("/v1/restore", content=photo)
    client.post("/v1/restore", content=photo[:60])
    client.post("/v1/inspect", files={"picture": ("photo.png", photo)})
    assert list(folder.iterdir()) == []


def test_inspect_tells_the_plan(serve: Serve) -> None:
    plan = serve(model=None).post("/v1/inspect?scale=1&force=true", content=png(80, 60)).json()
    assert (plan["action"], plan["model"], plan["result_width"]) == ("deblur", "cnlrn-own", 80)
    assert plan["kind"] in ("sharp", "shake", "defocus")
    assert plan["seconds"] > 0
    assert plan["words"].startswith("80x60")


def test_a_preview_is_a_png_of_at_most_the_side(client: TestClient) -> None:
    response = client.post("/v1/preview?side=8", content=png(suffix=".tif"))
    assert images.read(response.content).pixels.shape == (6, 8, 3)
    response = client.post("/v1/preview", content=png(suffix=".tif"))
    np.testing.assert_array_equal(images.read(response.content).pixels, images.read(png()).pixels)


def test_models_and_limits_are_told(serve: Serve) -> None:
    about = serve(queue=3, max_pixels=1000).get("/v1/models").json()
    assert [model["name"] for model in about["models"]] == [card.name for card in cnlrn.models()]
    assert about["limits"]["queue"] == 3
    assert about["limits"]["max_pixels"] == 1000
    assert about["version"] == cnlrn.__version__


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("scale=0", "bad-request"),
        ("scale=nan", "bad-request"),
        ("scale=inf", "bad-request"),
        ("scale=2&width=3", "bad-request"),
        ("strength=2", "bad-request"),
        ("format=exe", "bad-request"),
        ("format=../x", "bad-request"),
        ("colour=red", "bad-request"),
        ("width=99999999", "bad-request"),
        ("model=cnlrn-m", "no-such-model"),
        ("model=/etc/passwd", "no-such-model"),
        ("model=x.onnx", "no-such-model"),
    ],
)
def test_an_option_that_makes_no_sense_is_told(client: TestClient, photo: bytes, query: str, code: str) -> None:
    for route in ("restore", "jobs"):
        assert problem(client.post(f"/v1/{route}?{query}", content=photo)) == (422, code)


def test_the_tree_of_errors_gives_status_and_code(serve: Serve, photo: bytes) -> None:
    client = serve(max_pixels=500, max_bytes=100_000)

    def ask(content: bytes, **options: Any) -> tuple[int, str]:
        return problem(client.post("/v1/restore", content=content, **options))

    assert ask(b"") == (422, "unreadable-picture")
    assert ask(b"no picture") == (422, "unreadable-picture")
    assert ask(photo[:100]) == (422, "unreadable-picture")
    assert ask(b"8BPS" + bytes(100)) == (415, "unsupported-picture")
    assert ask(png(30, 20)) == (413, "too-large")
    assert ask(photo, params={"scale": 40}) == (413, "too-large")
    assert ask(bytes(200_000)) == (413, "too-large")
    assert ask(b"{}", headers={"content-type": "application/json"}) == (415, "unsupported-body")
    assert ask(b"no form", headers={"content-type": "multipart/form-data; boundary=x"}) == (400, "bad-form")
    assert ask(b"--x", headers={"content-type": "multipart/form-data"}) == (400, "bad-form")
    assert problem(client.post("/v1/restore", data={"a": "b"}, files={"a": (None, "b")})) == (400, "no-picture")
    assert problem(client.get("/v1/nothing")) == (404, "not-found")
    assert problem(client.get("/v1/restore")) == (405, "method-not-allowed")


def kinds(kind: type[CnlrnError]) -> list[type[CnlrnError]]:
    return [kind, *(deeper for direct in kind.__subclasses__() for deeper in kinds(direct))]


@pytest.mark.parametrize("kind", [kind for kind in kinds(CnlrnError) if kind.__module__ == errors.__name__])
def test_every_kind_of_error_has_a_problem_of_its_own(kind: type[CnlrnError]) -> None:
    told = problems.of(kind("words"))
    assert 400 <= told.status < 600
    assert told.code == re.sub("(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower().replace("cnlrn-error", "bad-request")


def test_what_nobody_has_foreseen_tells_nothing_of_the_server(
    client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(images, "open_picture", fail)
    response = client.post("/v1/restore", content=photo)
    assert problem(response) == (500, "unexpected")
    assert "secret" not in response.text


def test_a_full_disk_tells_nothing_of_the_server(
    client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def fail(*_: object) -> bytes:
        raise errors.CannotWrite(f"cannot write {folder}")

    monkeypatch.setattr(images, "encode", fail)
    response = client.post("/v1/restore", content=photo)
    assert problem(response) == (507, "cannot-write")
    assert str(folder) not in response.text
    assert list(folder.iterdir()) == []


def test_a_job_is_watched_fetched_and_forgotten(client: TestClient, photo: bytes, folder: Path, model: str) -> None:
    started = client.post("/v1/jobs?scale=2", content=photo)
    assert started.status_code == 202
    place = started.headers["location"]
    with client.stream("GET", f"{place}/events") as events:
        views = [json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line]
    assert views[-1]["state"] == "done"
    assert [view["progress"] for view in views] == sorted(view["progress"] for view in views)
    assert client.get(place).json() == views[-1]
    for _ in range(2):
        assert client.get(f"{place}/result").content == cnlrn.restore(photo, scale=2, model=model)
    assert client.delete(place).status_code == 204
    assert problem(client.get(place)) == (404, "no-such-job")
    assert list(folder.iterdir()) == []


def test_a_job_that_fails_says_why(client: TestClient, photo: bytes) -> None:
    place = client.post("/v1/jobs", content=photo[:400]).headers.get("location")
    assert place is not None
    until(lambda: client.get(place).json()["state"] == "failed")
    assert client.get(place).json()["problem"]["code"] == "unreadable-picture"
    assert problem(client.get(f"{place}/result")) == (422, "unreadable-picture")


def test_a_picture_that_cannot_be_restored_becomes_no_job(client: TestClient) -> None:
    assert problem(client.post("/v1/jobs", content=b"no picture")) == (422, "unreadable-picture")
    assert client.get("/metrics").text.count("cnlrn_pictures_waiting 0.0") == 1


def test_cancelling_a_job_stops_its_computing(client: TestClient, photo: bytes, folder: Path) -> None:
    with closed_gate() as gate:
        place = client.post("/v1/jobs", content=photo).headers["location"]
        gate.wait_for_one()
        assert client.get(place).json()["state"] == "running"
        assert problem(client.get(f"{place}/result")) == (409, "not-finished")
        assert client.delete(place).status_code == 204
        assert problem(client.get(place)) == (404, "no-such-job")
    workers = client.application.workers  # type: ignore[attr-defined]
    until(lambda: not workers.running and not workers.waiting)
    assert list(folder.iterdir()) == []


def test_a_job_that_waits_is_cancelled_at_once(serve: Serve, photo: bytes) -> None:
    client = serve(workers=1)
    with closed_gate() as gate:
        first = client.post("/v1/jobs", content=photo).headers["location"]
        gate.wait_for_one()
        second = client.post("/v1/jobs", content=photo).headers["location"]
        assert client.get(second).json()["state"] == "queued"
        assert client.delete(second).status_code == 204
    until(lambda: client.get(first).json()["state"] == "done")


def test_a_full_queue_refuses_and_says_when_to_ask_again(serve: Serve, photo: bytes) -> None:
    client = serve(queue=2)
    with closed_gate():
        places = [client.post("/v1/jobs", content=photo).headers["location"] for _ in range(2)]
        for route in ("jobs", "restore", "inspect", "preview"):
            refused = client.post(f"/v1/{route}", content=photo)
            assert problem(refused) == (429, "queue-full")
            assert int(refused.headers["retry-after"]) > 0
    until(lambda: all(client.get(place).json()["state"] == "done" for place in places))
    assert client.post("/v1/restore", content=photo).status_code == 200


def test_computing_that_takes_too_long_ends(serve: Serve, photo: bytes, folder: Path) -> None:
    assert problem(serve(seconds=0).post("/v1/restore", content=photo)) == (504, "out-of-time")
    assert list(folder.iterdir()) == []


def test_results_that_nobody_fetches_are_forgotten(serve: Serve, photo: bytes, folder: Path) -> None:
    client = serve(keep=0)
    place = client.post("/v1/jobs", content=photo).headers["location"]
    until(lambda: client.get(place).status_code == 404)
    assert list(folder.iterdir()) == []


def test_the_api_describes_itself(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    assert {"/v1/restore", "/v1/inspect", "/v1/jobs", "/v1/jobs/{id}/events", "/v1/models"} <= set(told["paths"])
    body = told["paths"]["/v1/restore"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/octet-stream", "multipart/form-data"}
    assert "problem+json" in json.dumps(told["paths"]["/v1/restore"]["post"]["responses"]["413"])


def test_metrics_count_requests_and_tell_no_ids(client: TestClient, photo: bytes) -> None:
    client.post("/v1/restore", content=photo)
    client.get("/v1/jobs/abc")
    client.get("/x" * 50)
    text = client.get("/metrics").text
    assert 'cnlrn_requests_total{method="POST",route="/v1/restore",status="200"} 1.0' in text
    assert 'route="/v1/jobs/{id}",status="404"' in text
    assert "abc" not in text
    assert "/x/x" not in text


def test_health_and_readiness(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").status_code == 200
    client.application.workers.is_closing = True  # type: ignore[attr-defined]
    assert problem(client.get("/readyz")) == (503, "closing")
    assert client.get("/healthz").status_code == 200
