"""Who may use a server, and what its pages may do."""

import re
from pathlib import Path

import pytest
from serving import Serve
from starlette.testclient import TestClient

from cnlrn.errors import CnlrnError
from cnlrn.server.app import PAGE
from cnlrn.server.settings import Settings, host_of

TOKEN = "a token of this test"


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765", "192.168.1.7", "box.lan"])
def test_its_own_names_and_addresses_are_let_in(serve: Serve, host: str) -> None:
    assert serve(names=("box.lan",)).get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8765", "", "[::1"])
def test_a_name_that_somebody_points_at_this_machine_is_refused(client: TestClient, host: str) -> None:
    for place in ("/", "/healthz", "/v1/models"):
        assert client.get(place, headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:81", "https://127.0.0.1.evil.example"]
)
def test_pages_of_other_sites_cannot_send_pictures(client: TestClient, photo: bytes, origin: str) -> None:
    response = client.post("/v1/restore", content=photo, headers={"origin": origin})
    assert (response.status_code, response.json()["code"]) == (403, "other-origin")


def test_the_own_page_and_programs_can(client: TestClient, photo: bytes) -> None:
    for headers in ({}, {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}):
        assert client.post("/v1/restore", content=photo, headers=headers).status_code == 200
    assert client.post("/v1/restore", content=photo, headers={"sec-fetch-site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("place", ["/v1/models", "/v1/jobs/x", "/metrics", "/openapi.json"])
def test_a_token_is_asked_for(serve: Serve, place: str) -> None:
    client = serve(token=TOKEN)
    response = client.get(place)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", TOKEN, "Bearer \xe4".encode("latin-1")):
        assert client.get(place, headers={"authorization": wrong}).status_code == 401
    assert client.get(place, headers={"authorization": f"bearer {TOKEN}"}).status_code in (200, 404)


def test_the_page_and_the_health_need_no_token(serve: Serve) -> None:
    client = serve(token=TOKEN)
    for place in ("/", "/main.js", "/healthz", "/readyz", "/docs"):
        assert client.get(place).status_code == 200


def test_a_browser_signs_in_and_keeps_no_token(serve: Serve, photo: bytes) -> None:
    client = serve(token=TOKEN)
    assert client.post("/v1/session", json={"token": "wrong"}).status_code == 401
    assert client.get("/v1/models").status_code == 401
    response = client.post("/v1/session", json={"token": TOKEN})
    assert response.status_code == 204
    cookie = response.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert client.post("/v1/restore", content=photo).status_code == 200


def test_a_short_token_is_refused() -> None:
    with pytest.raises(CnlrnError, match="at least 16"):
        Settings(token="short")


@pytest.mark.parametrize("place", ["/", "/docs", "/style.css", "/v1/models", "/nothing"])
def test_every_response_forbids_what_comes_from_elsewhere(client: TestClient, place: str) -> None:
    headers = client.get(place).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-store" if place.startswith("/v1/") else "no-cache")


def test_the_page_names_no_other_place() -> None:
    for path in PAGE.glob("*.*"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        assert not re.search(r"<script(?! type=\"module\" src=)|<style| style=| on[a-z]+=", text), path


def test_what_is_vendored_names_its_version_and_licence() -> None:
    licences = {path.name.removesuffix("-LICENSE.txt") for path in (PAGE / "vendor").glob("*-LICENSE.txt")}
    code = [re.fullmatch(r"(.+)-(\d+\.\d+\.\d+)\.js", path.name) for path in (PAGE / "vendor").glob("*.js")]
    assert {match[1] for match in code if match} == licences
    assert None not in code


@pytest.mark.parametrize(
    "place", ["/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/examples/../../app.py", "//etc/passwd"]
)
def test_nothing_beside_the_page_is_given(client: TestClient, place: str) -> None:
    assert client.get(place).status_code == 404


def test_a_folder_that_others_could_look_into_is_made_private(serve: Serve, folder: Path) -> None:
    serve()
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("header", "host"), [("A.b:80", "a.b"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("a", "a")])
def test_the_host_in_a_header(header: str, host: str) -> None:
    assert host_of(header) == host
