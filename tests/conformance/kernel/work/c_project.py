"""Write a C project of many modules and print what its program will say: `c_project.py FOLDER MODULES`."""

from __future__ import annotations

import random
import sys
from pathlib import Path

MAKEFILE = """\
CFLAGS = -O1 -Wall -Werror -Iinclude -MMD -MP
OBJECTS = $(patsubst src/%.c,build/%.o,$(wildcard src/module_*.c))
program: build/main.o build/libmodules.a
\t$(CC) -o $@ $^
build/libmodules.a: $(OBJECTS)
\t$(AR) rcs $@ $(OBJECTS)
build/%.o: src/%.c | build
\t$(CC) $(CFLAGS) -c -o $@ $<
build:
\tmkdir -p build
-include $(wildcard build/*.d)
"""


def write_project(folder: Path, modules: int) -> int:
    """Write it and return the program's sum, modulo 2**32."""
    dice = random.Random(modules)
    for name in ("src", "include"):
        (folder / name).mkdir(parents=True)
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / ".gitignore").write_text("build/\nprogram\n")
    values: list[int] = []
    for number in range(modules):
        factor, used = dice.getrandbits(32), dice.sample(range(number), min(number, 3))
        includes = "".join(f'#include "module_{each}.h"\n' for each in (number, *used))
        terms = " + ".join([f"{factor}u", *(f"module_{each}() * {each + 2}u" for each in used)])
        (folder / f"include/module_{number}.h").write_text(f"unsigned module_{number}(void);\n")
        (folder / f"src/module_{number}.c").write_text(
            f"{includes}unsigned module_{number}(void) {{ return {terms}; }}\n"
        )
        values.append((factor + sum(values[each] * (each + 2) for each in used)) % 2**32)
    includes = "".join(f'#include "module_{number}.h"\n' for number in range(modules))
    calls = "".join(f"  sum += module_{number}();\n" for number in range(modules))
    main = f'#include <stdio.h>\n{includes}int main(void) {{\n  unsigned sum = 0;\n{calls}  printf("%u\\n", sum);\n}}\n'
    (folder / "src/main.c").write_text(main)
    return sum(values) % 2**32


if __name__ == "__main__":
    print(write_project(Path(sys.argv[1]), int(sys.argv[2])))
