#!/usr/bin/env python3
"""Checks the heads of source files: each opens its file, and the types and `names` in it are there in the code.

Prints one line a fault; the exit status is 1 where there is one.
"""
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def files(*patterns):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=root, check=True, capture_output=True, text=True).stdout.split("\n")
    return sorted(name for name in listed if name and (root / name).exists())


def head(lines):
    """The comment that a file opens with."""
    taken = []
    for line in lines:
        if not line.startswith("//") or line.startswith("///"):
            break
        taken.append(line)
    return taken


def code_words(text):
    """Every word that stands outside of comments."""
    return set(IDENTIFIER.findall(re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.S)))


def main():
    sources = {name: (root / name).read_text() for name in files("Sources/*.swift", "Tests/*.swift", "Package.swift")}
    words = set()
    for name, text in sources.items():
        words |= code_words(text)
    # Files, settings and tables have names, too.
    for name in files():
        words.update(IDENTIFIER.findall(name))
    for name in files("migrations/*", "Sources/*.h", "scripts/*", ".ci/*", "proto/*", "dashboards/*", "packaging/*"):
        words.update(IDENTIFIER.findall((root / name).read_text(errors="replace")))
    faults = []
    for name, text in sources.items():
        lines = text.split("\n")
        opening = head(lines)
        if not opening and name.startswith("Sources/"):
            faults.append(f"{name}:1: no head: a file opens with a comment that says what it owns")
        for number, line in enumerate(lines[len(opening):], len(opening) + 1):
            if re.match(r"// (Owns|Must never|Invariants?): ", line):
                faults.append(f"{name}:{number}: a head that is not on line 1")
                break
        for number, line in enumerate(opening, 1):
            for quoted in re.findall(r"`([^`]+)`", line):
                # Commands and other text in backquotes are no names of code.
                if not re.fullmatch(r"[A-Za-z_][\w.]*(\([\w:]*\))?", quoted):
                    continue
                missing = [word for word in IDENTIFIER.findall(quoted) if word not in words]
                if missing:
                    faults.append(f"{name}:{number}: `{quoted}` names {missing[0]}, which is nowhere in the code")
            # A type that is named without them: KeyIndex, say.
            for word in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", re.sub(r"`[^`]*`", " ", line)):
                if word not in words:
                    faults.append(f"{name}:{number}: names {word}, which is nowhere in the code")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
