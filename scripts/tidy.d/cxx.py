"""cxx.py - C++ as scripts/tidy reads it: a modest tokenizer, not a compiler.

What it does: blanks comments and the insides of strings (columns and lines stay where they are), blanks #define lines,
follows braces, and tells namespaces, classes, functions and everything else by the text in front of each brace.

What it cannot do, and what holds only since the project's style keeps to it: it expands no macro and knows no type, so
it takes both sides of an #if, finds a function by its own name and not by its overload, and takes `name(...) {` at
namespace or class level for a function. Local classes and lambdas belong to the function around them. A
brace-initializer in a constructor's list must touch its member (`a_{b}`). A class is known by its name alone.
`int a, b;` is one field.
"""

import re
from bisect import bisect_right
from functools import cached_property

TOKEN = re.compile(r"""
    (?P<line>//[^\n]*) | (?P<block>/\*.*?\*/)
  | R"(?P<mark>[^(\s]*)\((?P<raw>.*?)\)(?P=mark)"
  | "(?P<text>(?:\\.|[^"\\\n])*)" | '(?:\\.|[^'\\\n])+'
  | \b\d[\w'.]*                                              # 1'000 is no character
""", re.VERBOSE | re.DOTALL)
MACRO = re.compile(r"^[ \t]*#[ \t]*define\b(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.MULTILINE)
DIRECTIVE = re.compile(r"^[ \t]*#[^\n]*", re.MULTILINE)
ANNOTATION = re.compile(r"\b(?:AIOX_\w+|alignas|__attribute__|noexcept|decltype)\s*"
                        r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|\bAIOX_[A-Z_]+\b|\[\[[^\]]*\]\]")
ACCESS = re.compile(r"^\s*(public|private|protected)\s*:(?!:)")
TEMPLATE = re.compile(r"^\s*template\s*<(?:[^<>]|<(?:[^<>]|<[^<>]*>)*>)*>\s*")
CLASS = re.compile(r"^(?:typedef\s+)?(class|struct|union)\b[^()=;]*?(\w+)\s*(?:final\b\s*)?(?::(?!:).*)?$", re.DOTALL)
NAME = re.compile(r"((?:[A-Za-z_]\w*::)*(?:~?[A-Za-z_]\w*|operator\s*(?:\(\s*\)|[^\s(]+)))\s*\($")
NOT_FUNCTIONS = {"if", "for", "while", "switch", "return", "catch", "sizeof", "alignof", "static_assert", "defined"}


def blank(text):
    return re.sub(r"[^\n]", " ", text)


class Function:
    def __init__(self, name, holder, line):
        self.name, self.holder, self.line, self.last = name, holder, line, line

    @property
    def length(self):
        return self.last - self.line + 1

    def __str__(self):
        return f"{self.holder}::{self.name}" if self.holder else self.name


class Class:
    def __init__(self, name, line, kind):
        self.name, self.line, self.kind = name, line, kind
        self.methods, self.fields = [], []  # (name, is_public, line)

    def public_methods(self):
        return [method for method in self.methods if method[1]]

    def public_fields(self):
        return [field for field in self.fields if field[1]]


class Source:
    """One file. `code` has comments and the insides of strings as blanks, `comment_lines` everything but comments."""

    def __init__(self, path, text):
        self.path, self.text = path, text
        self.lines = text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()

    @cached_property
    def _split(self):
        code, comments, at = [], [], 0
        for match in TOKEN.finditer(self.text):
            code.append(self.text[at:match.start()])
            comments.append(blank(self.text[at:match.start()]))
            token = match.group()
            if match.group("line") is not None or match.group("block") is not None:
                code.append(blank(token))
                comments.append(token)
            else:
                is_string = token[0] in "\"'" or token[0] == "R"
                code.append(token[0] + blank(token[1:-1]) + token[-1] if is_string else token)
                comments.append(blank(token))
            at = match.end()
        code.append(self.text[at:])
        comments.append(blank(self.text[at:]))
        return "".join(code), "".join(comments)

    @property
    def code(self):
        return self._split[0]

    @cached_property
    def code_lines(self):
        return self.code.split("\n")

    @cached_property
    def comment_lines(self):
        return self._split[1].split("\n")

    @cached_property
    def includes(self):
        """(name, line) of what is included in quotes."""
        found = []
        for match in INCLUDE.finditer(self.text):
            if self.code[match.start():match.end()].lstrip().startswith("#"):
                found.append((match.group(1), self.line_of(match.start(1))))
        return found

    @cached_property
    def _starts(self):
        starts = [0]
        for match in re.finditer("\n", self.text):
            starts.append(match.end())
        return starts

    def line_of(self, position):
        return bisect_right(self._starts, position)

    @cached_property
    def _parsed(self):
        return parse(self)

    @property
    def functions(self):
        return self._parsed[0]

    @property
    def classes(self):
        return self._parsed[1]

    @property
    def names(self):
        """(name, line) of every function that is defined or declared here, methods included."""
        return self._parsed[2]

    @property
    def is_balanced(self):
        return self._parsed[3]


def function_name(head):
    """The name of the function that `head` declares, with its classes; None: it declares none."""
    text = TEMPLATE.sub("", ANNOTATION.sub(lambda match: blank(match.group()), head))
    depth = 0
    for at, character in enumerate(text):
        if character in "=" and depth == 0 and not re.search(r"operator\s*[=!<>+*/-]*$", text[:at]):
            return None
        if character == "<" and re.search(r"\w$", text[:at]) and "operator" not in text[:at]:
            depth += 1
        elif character == ">" and depth > 0:
            depth -= 1
        elif character == "(" and depth == 0:
            match = NAME.search(text[:at + 1])
            is_pointer = text[at + 1:].lstrip().startswith("*")
            return None if match is None or match.group(1) in NOT_FUNCTIONS or is_pointer else match.group(1)
    return None


def parse(source):
    """Functions, classes, (name, line) of all that is declared, and whether the braces come out even."""
    code = MACRO.sub(lambda match: blank(match.group()), source.code)
    code = DIRECTIVE.sub(lambda match: blank(match.group()), code)
    functions, classes, names = [], [], []
    scopes = [("namespace", None, None, True)]  # kind, name or Class, begin of the head, is_public
    head_at, at, end = 0, 0, len(code)
    deep = 0  # braces within a function or an initializer

    def first_line(begin, upto):
        text = code[begin:upto]
        return source.line_of(begin + len(text) - len(text.lstrip()))

    def declare(begin, upto, is_definition):
        """A statement at namespace or class level."""
        kind, owner, _, is_public = scopes[-1]
        head = code[begin:upto]
        name = function_name(head) if head.strip() else None
        words = TEMPLATE.sub("", head).split()
        if not words or words[0] in ("using", "friend", "static_assert", "typedef", "namespace", "enum"):
            return None
        line = first_line(begin, upto)
        if name is not None:
            names.append((name.rsplit("::", 1)[-1], line))
        if kind != "class":
            return name
        if name is None:
            if words[0] in ("class", "struct", "union") and len(words) <= 2:
                return None  # only named here
            text = ANNOTATION.sub("", head).rstrip()
            field = (re.search(r"\(\s*\*\s*(\w+)\)", text) or
                     re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?::\s*\d+)?\s*(?:=.*|\{.*)?$", text, re.DOTALL))
            if "static constexpr" not in head and "static const " not in head and field:
                owner.fields.append((field.group(1), is_public, line))
        elif name.lstrip("~") != owner.name and not re.search(r"=\s*delete\s*$", head):
            owner.methods.append((name, is_public, line))
        return name

    while at < end:
        character = code[at]
        if deep == 0 and scopes[-1][0] in ("namespace", "class"):
            access = ACCESS.match(code[head_at:at + 1]) if character == ":" else None
            if access and not code[at + 1:at + 2] == ":":
                scopes[-1] = scopes[-1][:3] + (access.group(1) == "public",)
                head_at = at + 1
            elif character == ";":
                declare(head_at, at, False)
                head_at = at + 1
            elif character == "{":
                head = code[head_at:at]
                bare = TEMPLATE.sub("", ANNOTATION.sub(" ", head)).strip()
                klass = CLASS.match(bare)
                if re.match(r"(inline\s+)?namespace\b", bare) or re.match(r'extern\s+"\s*"?', bare) and "(" not in bare:
                    scopes.append(("namespace", None, head_at, True))
                    head_at = at + 1
                elif klass:
                    made = Class(klass.group(2), first_line(head_at, at), klass.group(1))
                    classes.append(made)
                    scopes.append(("class", made, head_at, klass.group(1) != "class"))
                    head_at = at + 1
                elif (bare.startswith("enum") or function_name(head) is None or
                      re.search(r"[\w>]$", head) and ") :" in head):
                    deep = 1  # an initializer, or the members of an enum: the statement goes on after it
                    scopes.append(("other", None, head_at, True))
                else:
                    name = declare(head_at, at, True)
                    scopes.append(("function", name, head_at, True))
                    holder, _, own = name.rpartition("::")
                    if scopes[-2][0] == "class":
                        holder = scopes[-2][1].name
                    functions.append(Function(own, holder, first_line(head_at, at)))
                    deep = 1
            elif character == "}":
                if len(scopes) == 1:
                    return functions, classes, names, False
                kind, _, begin, _ = scopes.pop()
                head_at = at + 1 if kind == "namespace" else head_at
                if kind == "class":
                    # struct { ... } name; is a field of what is around it.
                    rest = re.match(r"\s*(\w+)?[^;{}]*;", code[at + 1:])
                    if rest and rest.group(1) and scopes[-1][0] == "class":
                        scopes[-1][1].fields.append((rest.group(1), scopes[-1][3], source.line_of(at)))
                    head_at = at + 1 + (rest.end() if rest else 0)
                    at = head_at - 1
        elif character == "{":
            deep += 1
        elif character == "}":
            deep -= 1
            if deep == 0:
                kind, _, begin, _ = scopes.pop()
                if kind == "function":
                    functions[-1].last = source.line_of(at)
                    head_at = at + 1
        at += 1
    return functions, classes, names, len(scopes) == 1 and deep == 0
