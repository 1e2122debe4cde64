"""Do what the test says, one line of Python after another, in the working folder: `peer.py SHARE`.

The test leaves `N.ask` in SHARE, numbered from 1; `N.answer` is then JSON: the value, or the error's name and text.
"""

from __future__ import annotations

import errno
import json
import sys
import time
from pathlib import Path

#: hostfs tells nobody of a new file.
POLL_SECONDS = 0.01


def answer(line: str, names: dict[str, object]) -> dict[str, object]:
    """Evaluate an expression, or run a statement; bytes come back as Latin-1 text."""
    try:
        try:
            code = compile(line, "ask", "eval")
        except SyntaxError:
            exec(line, names)
            return {"value": None}
        value = eval(code, names)
    except OSError as error:
        return {"error": errno.errorcode.get(error.errno or 0, "?"), "text": repr(error)}
    except Exception as error:  # noqa: BLE001 - whatever it was, the test hears of it
        return {"error": type(error).__name__, "text": repr(error)}
    return {"value": value.decode("latin-1") if isinstance(value, bytes) else value}


def main(share: Path) -> None:
    names: dict[str, object] = {}
    exec("import fcntl, mmap, os, shutil, stat, subprocess\nfrom pathlib import Path\nTOP = Path.cwd()", names)
    number = 1
    while True:
        ask = share / f"{number}.ask"
        while not ask.exists():
            time.sleep(POLL_SECONDS)
        line = ask.read_text()
        if line == "end":
            return
        part = share / "part"
        part.write_text(json.dumps(answer(line, names)))
        part.rename(share / f"{number}.answer")
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
