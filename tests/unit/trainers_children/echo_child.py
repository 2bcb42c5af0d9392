"""A child for the tests of the protocol: prints a lot, answers, fails, hangs, ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from lineage.errors import NotFound
from trainers.child import in_fork, serve_child


def answer(kind, header, body, channel):
    if kind == "echo":
        print("user print", header, flush=True)
        os.write(1, b"\x00\x01raw bytes on stdout")
        return "echo", header, body
    if kind == "shout":
        sys.stderr.write("y" * header["bytes"])
        return "done", {}, b""
    if kind == "raise":
        raise ValueError("row value 4711 of Erika")
    if kind == "raise-ours":
        raise NotFound("no such thing", hint="look elsewhere")
    if kind == "exit":
        os._exit(header["code"])
    if kind == "hang":
        time.sleep(600)
    if kind == "hold-the-interpreter":
        channel.send("holding", {})
        sum(range(10**13))
    if kind == "environment":
        return "environment", dict(os.environ), b""
    if kind == "grandchild":
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        return "grandchild", {"pid": process.pid}, b""
    if kind == "fork":

        def work():
            channel.send("forked", {"pid": os.getpid(), "folder": str(Path.cwd()), "home": os.environ["HOME"]})
            if header.get("exit") is not None:
                os._exit(header["exit"])
            if header.get("hang"):
                time.sleep(600)
            return "worked", {}, b""

        in_fork(work, channel)
        return None
    if kind == "open-files":
        return "open-files", {"fds": sorted(int(fd.name) for fd in Path("/proc/self/fd").iterdir())}, b""
    return None


def main():
    serve_child(answer)
