"""The extraction's process: pages in, text out, over one socket. Started by pool.py only."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from octothinker.corpus.extract.page import Limits, PageError
from octothinker.corpus.extract.walk import extract
from octothinker.grade.worker import limit_memory
from octothinker.typed import from_json


def answer(request: bytes, limits: Limits) -> dict[str, Any]:
    head, _, html = request.partition(b"\n")
    given = json.loads(head)
    try:
        page = extract(html, given["url"], limits, given["charset"])
    except PageError as error:
        return {"reason": error.reason}
    except (MemoryError, RecursionError) as error:
        return {"reason": type(error).__name__}
    except Exception as error:  # one page's fault must not end the others; it is counted and named
        return {"reason": "error", "detail": f"{type(error).__name__}: {error}"[:500]}
    return {"title": page.title, "text": page.text, "formulas": [list(formula) for formula in page.formulas]}


def main() -> None:
    limits = from_json(Limits, json.loads(sys.argv[2]))
    limit_memory(int(sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent closes the socket
    link = Connection(int(sys.argv[1]))
    while True:
        try:
            request = link.recv_bytes()
        except (EOFError, ConnectionResetError):
            return
        signal.alarm(int(limits.seconds) + 5)  # should the parent be gone: die, even inside C code
        link.send_bytes(json.dumps(answer(request, replace(limits))).encode())
        signal.alarm(0)


if __name__ == "__main__":
    main()
    os._exit(0)
