"""Workers that misbehave, in place of octothinker.grade.worker: `python stub_worker.py MODE [memory]`."""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    mode = sys.argv[1]
    if mode == "silent":
        return
    if mode == "broken":
        print(json.dumps({"error": "RuntimeError: antlr4-python3-runtime 4.7 has no parser here"}), flush=True)
        return
    print(json.dumps({"ready": True}), flush=True)
    for number, line in enumerate(sys.stdin, 1):
        answer = json.loads(line)["answer"]
        if mode == "mixed" and "\\hang" in answer:
            print('{"equal": tr', end="", flush=True)  # half a line, then silence
            time.sleep(600)
        if mode == "mixed" and "\\die" in answer:
            os._exit(1)
        equal: bool | None = None if "\\memory" in answer else "\\yes" in answer
        print(json.dumps({"equal": equal, "pid": os.getpid(), "number": number}), flush=True)
        if mode == "leaves":
            return


if __name__ == "__main__":
    main()
