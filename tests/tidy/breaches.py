"""breaches.py - scripts/tidy notices what it is there for: every figure, each with a breach planted in a copy of the
tree that is in memory only; and the command itself, in a copy on disk."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "tidy.d"))

from cxx import Source  # noqa: E402
from figures import FIGURES  # noqa: E402
from tree import Tree  # noqa: E402

BODY = "  work();\n"
NEW = "src/engine/planted.cc"  # a file of the library that is not there


class Planted(Tree):
    """The tree with some texts changed or added; files that are as they were are not read again."""

    def __init__(self, tree, texts):
        super().__init__(tree.root)
        self.before, self.texts = tree, texts

    @property
    def paths(self):
        return sorted(set(self.before.paths) | set(self.texts))

    def read(self, name):
        return self.texts[name] if name in self.texts else self.before.read(name)

    @property
    def sources(self):
        return self.before.sources | {name: Source(name, text) for name, text in self.texts.items()
                                      if name.endswith((".cc", ".h", ".c"))}


def function(lines):
    return "void planted() {\n" + BODY * (lines - 2) + "}\n"


def inserted(tree, path, after, text):
    """The file with `text` behind the first line that begins with `after`."""
    lines = tree.read(path).splitlines(keepends=True)
    at = next((number for number, line in enumerate(lines) if line.startswith(after)), None)
    if at is None:
        sys.exit(f"FAILED: no line of {path} begins with \"{after}\": plant the breach elsewhere")
    return {path: "".join(lines[:at + 1]) + text + "".join(lines[at + 1:])}


def holder(tree, name):
    """The header that holds the class."""
    return next(source.path for source in tree.library for made in source.classes if made.name == name and made.methods
                or made.name == name and made.fields)


def breaches(tree):
    """Figure -> (texts, by how much it grows at least, words that the place must show)."""
    engine, request = holder(tree, "Engine"), holder(tree, "Request")
    largest = next(iter(tree.rooms))
    methods = "class Planted {\n" + "".join(f"  void planted_{n}();\n" for n in range(40)) + "};\n"
    head = "// planted.cc - a file.\n// Thread: any.\n// It never sleeps.\n"
    return {
        "largest-room-percent": ({f"src/{largest}/planted.cc": "\n" * sum(tree.rooms.values())}, 5, f"src/{largest}"),
        "layer-breaches": ({"src/kernel/planted.h": '#include "engine/engine.h"\n'}, 1, "src/kernel may not include"),
        "engine-includers": ({NEW: '#include "engine/engine.h"\n'}, 1, NEW),
        "engine-methods": (inserted(tree, engine, "class Engine {", "  int planted(int a);\n"), 1, "Engine::planted"),
        "engine-public-fields": (inserted(tree, engine, "class Engine {", " public:\n  int planted = 0;\n private:\n"),
                                 1, "Engine::planted"),
        "request-fields": (inserted(tree, request, "struct Request : RangeHook, ExtendHook {",
                                    "  std::atomic<int> planted{0};  // (s)\n"), 1, "Request::planted"),
        "methods-above-35": ({NEW: methods}, 5, "Planted: 40 methods"),
        "interface-questions": ({NEW: "bool f(R* r) { return r->context == nullptr; }\n"}, 1, NEW),
        "route-deciders": ({NEW: "bool route();\n"} if "route" not in all_names(tree) else
                           {NEW: "bool choose_road();\n"}, 1, NEW),
        "ending-verbs": ({NEW: "void dispose_of(R* r) {}\n"}, 1, "dispose: dispose_of"),
        "waking-verbs": ({NEW: "void prod_worker(W* w) {}\n"}, 1, "prod: prod_worker"),
        "functions-above-40": ({NEW: function(41)}, 1, "planted: 41 lines"),
        "functions-above-50": ({NEW: function(51)}, 1, "planted: 51 lines"),
        "assertions": (without_assertion(tree), -1, ""),
        "orders-without-edge": ({NEW: "int f() {\n  return a.load(std::memory_order_acquire);\n}\n"}, 1, f"{NEW}:2"),
        "unknown-edges": ({NEW: "// E-planted\n"}, 1, "E-planted is not in"),
        "unranked-locks": ({NEW: "struct Planted {\n  kernel::Mutex mu_;\n};\n"}, 1, "Planted::mu_"),
        "parts-without-unit-test": ({NEW: head}, 1, NEW),
        "long-lines": ({"tests/unit/planted_test.cc": "//" + " x" * 60 + "\n"}, 1, "tests/unit/planted_test.cc:1"),
        "long-script-lines": ({"scripts/planted": "#" + " x" * 60 + "\n"}, 1, "scripts/planted:1"),
        "unmapped-files": ({NEW: head}, 1, NEW),
        "heads-missing": ({NEW: "#include <cstdint>\n"}, 1, NEW),
        "banned-words": ({NEW: "// a road\nint foreign_count;\n"}, 2, f"{NEW}:1"),
        "riddles": ({NEW: "// Whoever comes by takes it.\n"}, 1, f"{NEW}:1"),
    }


def all_names(tree):
    return {name for source in tree.library for name, _ in source.names}


def without_assertion(tree):
    source = next(source for source in tree.library
                  if "AIOX_ASSERT(" in source.code and not source.path.endswith("assert.h"))
    return {source.path: source.text.replace("AIOX_ASSERT(", "IGNORE(", 1)}


def check_figures():
    tree = Tree(ROOT)
    planted = breaches(tree)
    failures = []
    for figure in FIGURES:
        if figure.key not in planted:
            failures.append(f"{figure.key} has no breach in tests/tidy/breaches.py")
            continue
        texts, growth, words = planted[figure.key]
        before, _ = figure.measure(tree)
        after, places = figure.measure(Planted(tree, texts))
        if after - before < growth or (growth < 0 and after - before != growth):
            failures.append(f"{figure.key} was {before} and is {after} with a breach planted in {', '.join(texts)}")
        elif words and not any(words in str(place) for place in places):
            failures.append(f'{figure.key} names no place with "{words}"')
    print(f"{len(planted)} breaches planted, {len(failures)} not noticed")
    return failures


def check_reading():
    """What the tokenizer is to see through."""
    text = '''// int a() {
const char* s = "}}}";  /* { */ const char c = '{'; const int n = 1'000'000;
#define BLOCK {
namespace x {
template <typename T> class AIOX_CAPABILITY("m") A final : public B<T> {
 public:
  A() : a_{1}, b_(2) { }
  A(const A&) = delete;
  int get() const { return a_; }
  static void set(std::function<void(int)> f);
  bool operator==(const A& other) const;
  int shown = f(1);
 private:
  void (*callback_)(void*) = nullptr;
  std::atomic<uint32_t> a_{0};
  int array_[3] AIOX_GUARDED_BY(mu_) = {};
};
}  // namespace x
int A::get_all(int a,
               int b) {
  auto f = [&] { return 1; };
  if (a) { return 2; }
  return f();
}
'''
    source = Source("x.cc", text)
    made = source.classes[0]
    got = (source.is_balanced, made.name, [method[:2] for method in made.methods], [field[:2] for field in made.fields],
           [(str(function), function.line, function.last) for function in source.functions])
    want = (True, "A", [("get", True), ("set", True), ("operator==", True)],
            [("shown", True), ("callback_", False), ("a_", False), ("array_", False)],
            [("A::A", 7, 7), ("A::get", 9, 9), ("A::get_all", 19, 24)])
    return [] if got == want else [f"the tokenizer read\n  {got}\nfor\n  {want}"]


def check_command():
    """Exit status and message, and that --lower writes what became better and nothing else."""
    failures = []
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place)
        parts = ("src/", "scripts/tidy", "tests/tidy/", "tests/unit/", "tests/abi/layers.sh", "docs/architecture/")
        for name in [name for name in Tree(ROOT).paths if name.startswith(parts)]:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        if shutil.which("git"):
            as_anyone = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
            for words in (["init", "-q"], ["add", "."], [*as_anyone, "commit", "-q", "-m", "copy"]):
                subprocess.run(["git", *words], cwd=copy, check=True)

        def run(*options):
            done = subprocess.run([sys.executable, ROOT / "scripts" / "tidy", "--tree", copy, *options],
                                  capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr
        status, said = run()
        if status != 0:
            failures.append(f"the copy alone is not accepted:\n{said}")
        if "better: " in said:
            run("--lower")  # so that one planted breach is one too many
        table = copy / "tests/tidy/ratchets.txt"
        before = table.read_text().splitlines()
        (copy / NEW).write_text("int f() {\n  AIOX_ASSERT(true);\n  return a.load(std::memory_order_acquire);\n}\n")
        status, said = run()
        shown = [f"{NEW}:3"] if shutil.which("git") else []  # without git what is new cannot be told from the rest
        for word in ["FAILED: orders-without-edge", "why: ", "what to do: ", "better: assertions", *shown]:
            if status != 1 or word not in said:
                failures.append(f'with a breach the exit status is {status}; "{word}" is to be in:\n{said}')
        run("--lower")
        changed = [line for line in table.read_text().splitlines() if line not in before]
        if [line.split()[0] for line in changed] != ["assertions"]:
            failures.append(f"--lower is to write the better number and no other, and wrote {changed}")
    return failures


def main():
    failures = check_reading() + check_figures() + check_command()
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
