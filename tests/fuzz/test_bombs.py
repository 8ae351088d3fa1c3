"""A few bytes that declare a lot must not cost memory: neither where they are refused nor where they are waited for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MEGABYTE = 1 << 20

# What the process has ever had resident, in kilobytes, before and after; the decoder is looked at, collected and dropped.
PROGRAM = """
import gc, sys
from pathlib import Path
from streamcore.resp3 import make_decoder

def peak():
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])

kind, *wires = sys.argv[1:]
make_decoder(kind).feed(b"*1\\r\\n$1\\r\\nx\\r\\n")
before = peak()
for wire in wires:
    decoder = make_decoder(kind)
    decoder.feed(bytes.fromhex(wire))
    gc.collect()
    if decoder.error is None:
        decoder.feed(b":1\\r\\n" * 1000)
    gc.collect()
    del decoder
print(peak() - before)
"""

HUGE = (b"4294967295", b"500000000", b"67108865", b"67108864", b"10000000", b"99999999999999999999")
BOMBS = {
    "arrays": [b"*%b\r\n" % count for count in HUGE],
    "sets": [b"~%b\r\n" % count for count in HUGE],
    "maps": [b"%%%b\r\n" % count for count in HUGE],
    "pushes": [b">%b\r\n" % count for count in HUGE],
    "attributes": [b"|%b\r\n" % count for count in HUGE],
    "strings": [kind + count + b"\r\n" for kind in (b"$", b"!", b"=", b"$?\r\n;") for count in (*HUGE, b"536870912")],
    "nested": [b"*1\r\n" + kind + count + b"\r\n" for kind in (b"*", b"~", b"%", b">", b"|") for count in HUGE],
    "in a push": [b">2\r\n+x\r\n" + kind + b"500000000\r\n" for kind in (b"*", b"%", b">")],
    "in a map": [b"%1\r\n+x\r\n" + kind + b"500000000\r\n" for kind in (b"*", b"%", b">")],
    "behind a reply": [b"+OK\r\n" + kind + b"500000000\r\n:1\r\n" for kind in (b"*", b"~", b"%", b">")],
    "many levels": [b"*10000000\r\n" * 20, b"*1\r\n" + b"*10000000\r\n" * 20 + b":1\r\n", b"%10000000\r\n" * 20],
}


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells how much memory a process ever had"
)
@pytest.mark.parametrize("kind", ["python", "hiredis"])
@pytest.mark.parametrize("wires", BOMBS.values(), ids=BOMBS)
def test_what_is_declared_is_not_allocated(kind: str, wires: list[bytes]) -> None:
    command = [sys.executable, "-c", PROGRAM, kind, *(wire.hex() for wire in wires)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 64 * MEGABYTE
