"""Malformed requests: `python measurements/malformed.py --requests 10000`; needs `pip install schemathesis`.

Starts `cnlrn serve` and sends it requests that schemathesis makes from the description of its API, then damaged
pictures, forms and heads of a seeded fuzzer over raw sockets. Each must be answered by a status below 500, but for 503
and 504, or by the end of the connection, and the server must be ready afterwards. Ends with exit code 1 otherwise.
"""

import argparse
import collections
import random
import re
import socket
import subprocess
import sys
from pathlib import Path

EXAMPLE = (Path(__file__).parents[1] / "examples" / "kitten.png").read_bytes()
OPTIONS = ["scale", "width", "height", "model", "strength", "format", "strip", "force", "x", "%00", "", "\u00e4"]
VALUES = ["1", "2", "0", "-1", "1e309", "nan", "", "%", "a" * 500, "../..", "png", "true", "cnlrn-s", "null", "\u00e4"]


def damaged(chance: random.Random, content: bytes) -> bytes:
    """The same with some bytes changed, cut out or doubled."""
    data = bytearray(content[: chance.choice((20, 100, 400, 5000, len(content)))])
    for _ in range(chance.randint(0, 8)):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(3)
        if kind == 0:
            data[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del data[place : place + chance.randint(1, 30)]
        else:
            data[place:place] = data[place : place + chance.randint(1, 30)]
    return bytes(data)


def request(chance: random.Random) -> bytes:
    """A request that is wrong somewhere, most often."""
    body = damaged(chance, EXAMPLE[:3000])
    kind = chance.choice(["image/png", "application/octet-stream", "text/plain", "", "application/json", "\x01"])
    if chance.random() < 0.5:
        kind = f"multipart/form-data; boundary={chance.choice(['b', '', 'b' * 300, 'b; boundary=c'])}"
        name = chance.choice(['name="picture"; filename="a.png"', 'name="scale"', "", 'filename="/etc/passwd"'])
        form = b"--b\r\nContent-Disposition: form-data; " + name.encode() + b"\r\n\r\n" + body + b"\r\n--b--\r\n"
        body = damaged(chance, form) if chance.random() < 0.7 else form
    query = "&".join(f"{chance.choice(OPTIONS)}={chance.choice(VALUES)}" for _ in range(chance.randint(0, 3)))
    path = chance.choice(["restore", "inspect", "jobs", "preview", "jobs/x", "session", "models", "", "../x", "%2e%2e"])
    method = chance.choice(["POST", "POST", "POST", "GET", "PUT", "DELETE", "BREW"])
    length = len(body) + chance.choice([0] * 10 + [1, -1, 10**12])
    head = (
        f"{method} /v1/{path}?{query} HTTP/1.1\r\nHost: {chance.choice(['127.0.0.1'] * 9 + ['x'])}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode("utf-8", "replace")
    return (damaged(chance, head) if chance.random() < 0.3 else head) + body


def answer(port: int, sent: bytes) -> str:
    """The status that a request is answered by, or what became of the connection."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            told = connection.recv(100)
    except (ConnectionError, BrokenPipeError):
        return "closed"
    match = re.match(rb"HTTP/1\.1 (\d{3})", told)
    return match[1].decode() if match else "closed"


def is_right(status: str) -> bool:
    """Whether a malformed request may be answered so."""
    return status in ("closed", "503", "504") or status < "500"


def main() -> None:
    """Send them, and say how they were answered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--examples", type=int, default=100, help="of schemathesis, an operation; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    command = [sys.executable, "-m", "cnlrn", "serve", "--port", "0", "--max-pixels", "100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert match is not None
        port = int(match[1])
        made = (
            given.examples
            and subprocess.run(
                [
                    *(sys.executable, "-m", "schemathesis.cli", "run", f"{match[0]}openapi.json"),
                    *("--checks", "not_a_server_error,response_schema_conformance,status_code_conformance"),
                    *("--exclude-path", "/v1/jobs/{id}/events", "--max-examples", str(given.examples)),
                    *("--seed", str(given.seed), "--continue-on-failure"),
                ]
            ).returncode
        )
        chance = random.Random(given.seed)
        statuses: collections.Counter[str] = collections.Counter()
        wrong = []
        for _ in range(given.requests):
            sent = request(chance)
            status = answer(port, sent)
            statuses[status] += 1
            if not is_right(status):
                wrong.append((status, sent))
        ready = answer(port, b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    finally:
        process.terminate()
        process.wait()
    print(
        f"{given.requests} requests: " + ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    )
    print(f"ready afterwards: {ready}")
    for status, sent in wrong[:5]:
        print(status, sent[:600])
    sys.exit(bool(wrong) or ready != "200" or made != 0)


if __name__ == "__main__":
    main()
