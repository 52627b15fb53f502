"""Load on the server: `python measurements/serving.py`, with nothing else running; needs `pip install locust`.

Starts `cnlrn serve` and asks it by locust: first an empty endpoint, then 20 clients that restore pictures of 320x180
without pause, then clients that send pictures of mixed sizes. Prints a Markdown table: requests a second, milliseconds
of the median and of 95 of 100, statuses, and the server's memory; in its first row the engine alone, as many pictures
in as many threads as the server has workers.
"""

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import gevent.monkey

if __name__ == "__main__":
    gevent.monkey.patch_all(thread=False, threading=False)

import numpy as np
import psutil
from locust import HttpUser, constant, task
from locust.env import Environment

from cnlrn import Restorer, images
from cnlrn.images import Picture

EXAMPLE = Path(__file__).parents[1] / "examples" / "kitten.png"
SIZES = ((320, 180), (64, 48), (640, 360), (1280, 720), (200, 800))


def picture(width: int, height: int) -> bytes:
    """The example as a JPEG file, mirrored to and fro until it is large enough."""
    example = images.read(EXAMPLE).pixels
    lacking = (max(0, height - example.shape[0]), max(0, width - example.shape[1]))
    pixels = np.pad(example, ((0, lacking[0]), (0, lacking[1]), (0, 0)), mode="symmetric")[:height, :width]
    return images.encode(Picture(pixels), ".jpg")


FILES = [picture(*size) for size in SIZES]


class Client(HttpUser):
    """Sends one request after the other."""

    abstract = True
    wait_time = constant(0)
    statuses: ClassVar[Counter[int]] = Counter()

    def ask(self, method: str, path: str, content: bytes | None = None) -> None:
        """One request; a refusal of a full queue is no failure."""
        with self.client.request(method, path, data=content, name="", catch_response=True) as response:
            Client.statuses[response.status_code] += 1
            if response.status_code in (200, 429):
                response.success()


class Empty(Client):
    """Asks for nothing."""

    @task
    def health(self) -> None:
        """The cheapest request that there is."""
        self.ask("GET", "/healthz")


class Small(Client):
    """Restores one size."""

    @task
    def restore(self) -> None:
        """To four times the size."""
        self.ask("POST", "/v1/restore", FILES[0])


class Mixed(Client):
    """Restores and inspects all sizes."""

    @task(4)
    def restore(self) -> None:
        """One of them."""
        self.ask("POST", "/v1/restore?scale=2", random.choice(FILES))

    @task
    def inspect(self) -> None:
        """One of them."""
        self.ask("POST", "/v1/inspect", random.choice(FILES))


def load(kind: type[Client], clients: int, seconds: float, server: psutil.Process, address: str) -> str:
    """Run so many clients for so long; a row of the table."""
    Client.statuses.clear()
    environment = Environment(user_classes=[kind], host=address)
    runner = environment.create_local_runner()
    memory = []
    runner.start(clients, spawn_rate=clients)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        gevent.sleep(0.5)
        memory.append(server.memory_info().rss / 2**20)
    runner.quit()
    total = environment.stats.total
    half = len(memory) // 2
    median = [statistics.median(part) for part in (memory[:half], memory[half:])]
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(Client.statuses.items()))
    return (
        f"| {(kind.__doc__ or '').splitlines()[0].rstrip('.')}, {clients} clients | {total.num_requests / seconds:.2f} "
        f"| {total.median_response_time:.0f} | {total.get_response_time_percentile(0.95):.0f} | {statuses} "
        f"| {median[0]:.0f}, then {median[1]:.0f} MiB, at most {max(memory):.0f} |"
    )


def engine_alone(seconds: float, workers: int) -> str:
    """As many pictures as can be restored in so many seconds without a server; a row of the table."""
    restorer = Restorer()
    restorer.restore(FILES[0])
    end, times = time.monotonic() + seconds, []

    def work(_: int) -> None:
        while time.monotonic() < end:
            start = time.perf_counter()
            restorer.restore(FILES[0])
            times.append((time.perf_counter() - start) * 1000)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    return (
        f"| the engine alone, {workers} threads | {len(times) / seconds:.2f} | {statistics.median(times):.0f} "
        f"| {statistics.quantiles(times, n=20)[-1]:.0f} | | |"
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    given = parser.parse_args()
    print("| | pictures or requests a second | median, ms | 95 %, ms | statuses | memory |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    print(engine_alone(given.seconds, given.workers), flush=True)
    command = [sys.executable, "-m", "cnlrn", "serve", "--port", "0", "--workers", str(given.workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        match = re.search(r"http://\S+", process.stdout.readline())
        assert match is not None
        server = psutil.Process(process.pid)
        for kind in (Empty, Small, Mixed):
            print(load(kind, given.clients, given.seconds, server, match[0].rstrip("/")), flush=True)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
