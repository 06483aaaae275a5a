"""Mend files that do not end with one line break, and lines that end with spaces: `end_of_file.py FILE...`."""

import sys
from pathlib import Path


def mend(text: str) -> str:
    """Return the text without spaces at the ends of its lines, and with one line break at its end."""
    lines = "\n".join(line.rstrip(" \t") for line in text.split("\n")).rstrip("\n")
    return f"{lines}\n" if lines else ""


def main(names: list[str]) -> int:
    """Mend the files and name those that changed; 1 if any did, so that a hook stops the commit."""
    changed = 0
    for file in map(Path, names):
        text = file.read_bytes().decode()
        if (mended := mend(text)) != text:
            file.write_bytes(mended.encode())
            print(f"mended {file}")
            changed = 1
    return changed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
