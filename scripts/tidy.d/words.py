"""words.py - the words that tests/tidy/words.txt bans, and where they stand."""

import re

PLACE = "tests/tidy/words.txt"


def read(tree):
    """Section -> (where, pattern, instead). where: "name" (identifiers), "text" (comments) or "all"."""
    if not hasattr(tree, "banned"):
        sections, current = {}, None
        for number, line in enumerate(tree.read(PLACE).splitlines(), 1):
            if re.fullmatch(r"\[\w+\]", line):
                current = sections.setdefault(line[1:-1], [])
            elif line.strip() and not line.startswith("#"):
                parts = [part.strip() for part in line.split("|")]
                if current is None or len(parts) != 3 or parts[0] not in ("name", "text", "all"):
                    raise SystemExit(f"{PLACE}:{number}: expected WHERE | WORD | INSTEAD")
                current.append((parts[0], parts[1], parts[2]))
        tree.banned = sections
    return tree.banned


def part(word):
    """In an identifier a word stands between underscores, or begins with a capital: choose_road, RoadId."""
    capital = "".join(piece.capitalize() for piece in word.split("_"))
    return re.compile(rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])|(?<![A-Z]){capital}(?![a-z])")


def found_in(source, banned):
    """(line, word, instead), one per line and word."""
    found = []
    for where, word, instead in banned:
        in_text = re.compile(rf"\b(?:{word})\b", re.IGNORECASE)
        lines = []
        if where in ("name", "all"):
            lines.append((source.code_lines, part(word)))
        if where in ("text", "all"):
            lines.append((source.comment_lines, in_text))
        seen = {number for text, pattern in lines for number, line in enumerate(text, 1) if pattern.search(line)}
        found += [(number, word.replace("_", " "), instead) for number in sorted(seen)]
    return sorted(found)
