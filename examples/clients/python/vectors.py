#!/usr/bin/env python3
"""Reads and writes every test vector of the protocol: vectors.py ../../../ipc/testdata/vectors.txt"""

import sys

from wire import FrameReader, frames, line, read_line


def main(path: str) -> int:
    count = bad = 0
    name = frame = ""
    for row in open(path, encoding="utf-8"):
        key, _, value = row.rstrip("\n").partition(": ")
        if key == "message":
            name = value
        elif key == "frame":
            frame = bytes.fromhex(value)
        elif key == "line":
            count += 1
            text = value.encode() + b"\n"
            (framed,) = FrameReader().feed(frame)
            lined = read_line(text)
            same = frames(framed) == frame and line(framed) == text and line(lined) == text and frames(lined) == frame
            if not same:
                bad += 1
                print(f"{name}: not the same bytes", file=sys.stderr)
    print(f"{count} vectors, {bad} wrong")
    return 0 if count and not bad else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
