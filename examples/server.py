"""Have a server (`cnlrn serve`) restore a picture: `python examples/server.py photo.png sharp.png`."""

import sys
import urllib.request
from pathlib import Path

picture, result = map(Path, sys.argv[1:])
url = "http://127.0.0.1:8765/v1/restore?scale=2"
request = urllib.request.Request(url, picture.read_bytes(), {"Content-Type": "application/octet-stream"})
with urllib.request.urlopen(request) as response:
    result.write_bytes(response.read())
