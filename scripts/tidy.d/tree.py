"""tree.py - the project's files, and what the figures ask of them together: rooms, layers, includes."""

import re
import subprocess
from functools import cached_property
from pathlib import Path

from cxx import Source

CXX = (".cc", ".h", ".c")
SCRIPTS = (".sh", ".py", ".cmake")
# What is ours; a build directory of any name is not.
OURS = ("src/", "include/", "tests/", "bench/", "scripts/", "cmake/", "docs/", ".ci/", "CMakeLists.txt")


class Tree:
    def __init__(self, root):
        self.root = Path(root)

    @cached_property
    def paths(self):
        """What git tracks or would; in a tree without git, every file."""
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=self.root,
                                capture_output=True)
        if listed.returncode == 0 and listed.stdout:
            names = listed.stdout.decode().split("\0")
        else:
            names = [str(path.relative_to(self.root)) for path in self.root.rglob("*")]
        return sorted(name for name in names if name.startswith(OURS) and (self.root / name).is_file())

    def read(self, name):
        return (self.root / name).read_text(errors="replace")

    @cached_property
    def sources(self):
        """Every C and C++ file, by its path."""
        return {name: Source(name, self.read(name)) for name in self.paths if name.endswith(CXX)}

    @cached_property
    def script_lines(self):
        """(path, lines) of what is written for a shell, Python or CMake."""
        found = []
        for name in self.paths:
            if name.endswith(SCRIPTS) or name.endswith("CMakeLists.txt") or re.fullmatch(r"(scripts|\.ci)/\w+", name):
                found.append((name, self.read(name).splitlines()))
        return found

    # --- the library: what the shared libraries are made of

    @cached_property
    def layers(self):
        """What each room may include from, in the order of tests/abi/layers.sh, which enforces it."""
        layers = {}
        for line in self.read("tests/abi/layers.sh").splitlines():
            match = re.match(r"may (\w+)((?: \w+)*)$", line)
            if match:
                layers[match.group(1)] = match.group(2).split()
        return layers

    @staticmethod
    def room_of(name):
        """The folder below src/, the deepest: engine/direct would be a room of its own. None: not of src/."""
        return name[len("src/"):].rpartition("/")[0] if name.startswith("src/") else None

    @cached_property
    def library(self):
        return [source for name, source in self.sources.items()
                if name.startswith("src/") and not name.startswith("src/cli/") and self.room_of(name)]

    def below_interface(self):
        return [source for source in self.library if not source.path.startswith(("src/shim/", "src/abi/"))]

    @cached_property
    def rooms(self):
        """Lines by room, the largest first."""
        lines = {}
        for source in self.library:
            lines[self.room_of(source.path)] = lines.get(self.room_of(source.path), 0) + len(source.lines)
        return dict(sorted(lines.items(), key=lambda item: -item[1]))

    def behind(self, header):
        """Our own headers that `header` brings, itself not counted."""
        seen, left = set(), [header]
        while left:
            source = self.sources.get(f"src/{left.pop()}")
            for name, _ in source.includes if source else ():
                if name not in seen and f"src/{name}" in self.sources:
                    seen.add(name)
                    left.append(name)
        return seen - {header}
