"""figures.py - what scripts/tidy measures.

A figure is a function that returns (value, places); @figure gives it its name in tests/tidy/ratchets.txt, what it
counts, why that matters, and what to do about it. A new one wants a line there, and a breach in tests/tidy/breaches.py.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

import words

FIGURES = []


@dataclass
class Place:
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}" if self.line else f"{self.path}: {self.text}"


@dataclass
class Figure:
    key: str
    title: str
    reason: str
    remedy: str
    measure: object
    value: int = 0
    places: list = field(default_factory=list)

    def take(self, tree):
        self.value, self.places = self.measure(tree)
        return self


def figure(key, title, reason, remedy):
    def keep(measure):
        FIGURES.append(Figure(key, title, reason, remedy, measure))
        return measure
    return keep


def counted(places):
    return len(places), places


# --- rooms

@figure("largest-room-percent", "the largest room's share of the library's lines, in percent",
        "a room that holds most of the house does not show where to look",
        "move what has a duty of its own to a room of its own below src/")
def largest_room(tree):
    total = sum(tree.rooms.values())
    places = [Place(f"src/{room}", 0, f"{lines} of {total} lines, {100 * lines / total:.1f} %")
              for room, lines in tree.rooms.items()]
    return round(100 * max(tree.rooms.values()) / total), places


@figure("layer-breaches", "includes against the layers (tests/abi/layers.sh)",
        "includes point one way, so that a room can be read and tested without those above it",
        "move the declaration down, or hand it in from above")
def layer_breaches(tree):
    places = []
    for name, source in tree.sources.items():
        room = tree.room_of(name)
        if not room:
            continue
        top = room.split("/")[0]
        for included, line in source.includes:
            other = included.split("/")[0]
            if top not in tree.layers:
                places.append(Place(name, line, f"src/{top} has no line in tests/abi/layers.sh"))
            elif other in tree.layers and other != top and other not in tree.layers[top]:
                places.append(Place(name, line, f"src/{top} may not include from src/{other}"))
            elif "/" not in included:
                places.append(Place(name, line, f'"{included}" names no folder'))
    return counted(places)


@figure("engine-includers", "files of the library that include engine/engine.h",
        "each of them sees, and is compiled again for, everything that the engine is made of",
        "include the part that is used, or hand in what is called")
def engine_includers(tree):
    return counted([Place(source.path, line, "includes engine/engine.h") for source in tree.library
                    for name, line in source.includes if name == "engine/engine.h"])


# --- classes

def class_of(tree, name):
    found = [(source, made) for source in tree.library for made in source.classes
             if made.name == name and (made.methods or made.fields)]
    return max(found, key=lambda each: len(each[1].methods) + len(each[1].fields)) if found else (None, None)


def members(tree, name, which):
    source, made = class_of(tree, name)
    if made is None:
        return 0, []
    return counted([Place(source.path, member[2], f"{name}::{member[0]}") for member in which(made)])


@figure("engine-methods", "methods of Engine", "a class that does everything is a module without walls",
        "give the duty to a part of the engine that can be tested alone")
def engine_methods(tree):
    return members(tree, "Engine", lambda made: made.methods)


@figure("engine-public-fields", "public fields of Engine", "code that has the engine reaches into all of its parts",
        "hand each part what it needs when it is made")
def engine_public_fields(tree):
    return members(tree, "Engine", lambda made: made.public_fields())


@figure("request-fields", "fields of Request", "one struct for five kinds of request hides which fields are alive when",
        "put the field into the group of the kind that needs it")
def request_fields(tree):
    return members(tree, "Request", lambda made: made.fields)


METHODS_MAX = 35


@figure("methods-above-35", f"methods above {METHODS_MAX} in one class, all classes together",
        "a class of more than 35 methods has more than one duty",
        "split its state, then its methods: a class without state of its own closes a circle")
def large_classes(tree):
    large = sorted(((len(made.methods), source, made) for source in tree.library for made in source.classes
                    if len(made.methods) > METHODS_MAX), key=lambda each: -each[0])
    places = [Place(source.path, made.line, f"{made.name}: {count} methods") for count, source, made in large]
    return sum(count - METHODS_MAX for count, _, _ in large), places


# --- ways

@figure("interface-questions", '"POSIX or native?" (context == nullptr) asked below the interface',
        "each place that asks has to be found again for a third interface",
        "have the interface's record say what is asked")
def interface_questions(tree):
    places = []
    for source in tree.below_interface():
        if re.search(r"/(context|contexts|context_of|context_lifetime)\.(cc|h)$", source.path):
            continue  # whether there is a context at all is their own question
        for number, line in enumerate(source.code_lines, 1):
            for _ in re.finditer(r"\bcontext (?:==|!=) nullptr|\bif \(!?(?:\w+(?:->|\.))?context\)", line):
                places.append(Place(source.path, number, source.lines[number - 1].strip()))
    return counted(places)


# Functions that decide where a request goes. Not listed: those that carry out what engine/route.h says (choose_start,
# try_inline, must_complete_in_call, submit_from_own_table, complete_or_reroute, reroute ...), and what is only asked
# (bypasses_cache).
DECIDERS = """choose_road may_go_direct may_park may_be_withheld is_nowait_answered is_carried_out_here is_instant_done
takes_own_signals must_end_in_call""".split()
ROUTES = "src/engine/route.h"


@figure("route-deciders", f"places that decide where a request goes: {ROUTES} is one, each function elsewhere another",
        "a rule that is spread over many functions cannot be tested as a table",
        f"decide it in a pure function of {ROUTES}, and add its row to the table's test")
def route_deciders(tree):
    found = {}
    for source in tree.library:
        for name, line in source.names:
            is_route = name == "route" or name.startswith("route_")
            if source.path == ROUTES and is_route:
                found.setdefault(ROUTES, Place(source.path, line, name))
            elif (is_route or name in DECIDERS) and (name not in found or source.path.endswith(".h")):
                found[name] = Place(source.path, line, name)
    return counted(list(found.values()))


ENDING = """abandon announce answer answered complete conclude decline deliver discard dispose drop end ended fail
finish forget give leave lose notify post publish refuse refused release report resolve retire settle store succeed
withdraw withdrawn""".split()
WAKING = "alert awake call kick nudge poke prod rouse stir summon tell wake".split()


def verbs(tree, listed, kept):
    """Distinct first words among `listed` of the names of functions. The exports' names are the interfaces'."""
    found = {}
    for source in tree.below_interface():
        for name, line in source.names:
            verb = name.split("_")[0]
            if verb in listed:
                place = found.setdefault(verb, Place(source.path, line, ""))
                if name not in place.text.split(", ") and place.text.count(",") < 3:
                    place.text = f"{place.text}, {name}" if place.text else name
    return counted([Place(place.path, place.line, f"{verb}: {place.text}" + (" (stays)" if verb in kept else ""))
                    for verb, place in sorted(found.items())])


@figure("ending-verbs", "verbs for how a request or a part of it ends, in names of functions",
        "with a dozen words for one thing the reader cannot tell whether two are the same",
        "say complete, publish, notify or release")
def ending_verbs(tree):
    return verbs(tree, ENDING, ("complete", "publish", "notify", "release"))


@figure("waking-verbs", "verbs for waking a thread, in names of functions",
        "with several words for one thing the reader cannot tell whether two are the same", "say wake")
def waking_verbs(tree):
    return verbs(tree, WAKING, ("wake",))


# --- functions

def long_functions(tree, limit):
    found = sorted(((function.length, source.path, function) for source in tree.library for function in source.functions
                    if function.length > limit), key=lambda each: (-each[0], each[1]))
    return counted([Place(path, function.line, f"{function}: {length} lines") for length, path, function in found])


@figure("functions-above-40", "functions of more than 40 lines", "what does not fit a screen is not read as one thing",
        "name a part of it and move that out; the hot paths inline it again")
def functions_above_40(tree):
    return long_functions(tree, 40)


@figure("functions-above-50", "functions of more than 50 lines", "the limit of this project",
        "name a part of it and move that out; the hot paths inline it again")
def functions_above_50(tree):
    return long_functions(tree, 50)


@figure("assertions", "assertions of the library (AIOX_ASSERT)",
        "an invariant that is checked where it could break is found before it does harm",
        "assert what the code relies on: AIOX_ASSERT costs nothing in a release build")
def assertions(tree):
    return counted([Place(source.path, number, line.strip()) for source in tree.library
                    for number, line in enumerate(source.code_lines, 1)
                    if re.search(r"\bAIOX_ASSERT\(", line) and "#define" not in line])


# --- concurrency

NAMES_EDGE = re.compile(r"\bE-[a-z]+|\b(?:relaxed|acquire|release|acq_rel|seq_cst)\b[^:]{0,40}:")
WITHIN = 3


@figure("orders-without-edge", f"memory orders with no edge named within {WITHIN} lines",
        "a load or store whose partner is not named cannot be checked, nor changed",
        'name the edge ("E-wait", docs/architecture/concurrency.md) or say why none is needed ("relaxed: a figure")')
def orders_without_edge(tree):
    places = []
    for source in tree.library:
        for number, line in enumerate(source.code_lines):
            orders = re.findall(r"\bmemory_order_\w+", line)
            near = " ".join(source.comment_lines[max(0, number - WITHIN):number + WITHIN + 1])
            if orders and not NAMES_EDGE.search(near):
                places += [Place(source.path, number + 1, source.lines[number].strip())] * len(orders)
    return counted(places)


@figure("unknown-edges", "edges named in the code and not in docs/architecture/concurrency.md, or the other way round",
        "an edge has two ends: the table names both", "add the row to the table, or mend the name")
def unknown_edges(tree):
    page = "docs/architecture/concurrency.md"
    listed = {match.group(1): number for number, line in enumerate(tree.read(page).splitlines(), 1)
              if (match := re.match(r"\| (E-[a-z]+) \|", line))}
    used, places = set(), []
    for source in tree.library:
        for number, line in enumerate(source.comment_lines, 1):
            for edge in re.findall(r"\bE-[a-z]+", line):
                used.add(edge)
                if edge not in listed:
                    places.append(Place(source.path, number, f"{edge} is not in {page}"))
    return counted(places + [Place(page, line, f"{edge} is named nowhere in src/") for edge, line in listed.items()
                             if edge not in used])


@figure("unranked-locks", "locks that have no rank in the list of kernel/mutex.h, and ranks without a lock",
        "two threads that take two locks in different orders stop each other for ever",
        "give the lock its place in the list, with regard to what is taken under it")
def unranked_locks(tree):
    header = next((source for source in tree.library if source.path.endswith("/mutex.h")), None)
    if header is None:
        return 0, []
    listed = set(re.findall(r"\b\w+::\w*mu(?:tex)?_?\b", "\n".join(header.comment_lines)))
    places, found = [], set()
    for source in tree.library:
        for made in source.classes:
            for name, _, line in made.fields:
                if re.search(rf"\bMutex {name}\b", source.code_lines[line - 1]):
                    found.add(f"{made.name}::{name}")
                    if f"{made.name}::{name}" not in listed:
                        places.append(Place(source.path, line, f"{made.name}::{name}"))
    return counted(places + [Place(header.path, 1, f"there is no {name}") for name in sorted(listed - found)])


# --- tests

def header_of(source, tree):
    """The header of a part: its namesake, or that of the class which it defines."""
    namesake = source.path[len("src/"):-len(".cc")] + ".h"
    if "src/" + namesake in tree.sources:
        return namesake
    defined = Counter(re.findall(r"^\w[^(\n]*?\b(\w+)::~?\w+\(", source.code, re.MULTILINE))
    for name, _ in defined.most_common(1):
        for header in tree.library:
            if header.path.endswith(".h") and any(made.name == name for made in header.classes):
                return header.path[len("src/"):]
    return namesake


@figure("parts-without-unit-test", "parts of the engine (files with a .cc) whose header no test of tests/unit includes",
        "what cannot be driven by hand is tested only where chance takes the whole library",
        "write tests/unit/PART_test.cc; if that needs the whole Engine, hand in less")
def parts_without_unit_test(tree):
    # What the tests share (rig.h) includes nearly all of them, and tests none.
    tests = [source for path, source in tree.sources.items() if re.match(r"tests/unit/\w+_test\.cc$", path)]
    tested = {name for source in tests for name, _ in source.includes}
    below = {"shim", "abi", "base", "kernel", "stats", "cli", None}
    return counted([Place(source.path, 0, f"no test of tests/unit includes {header_of(source, tree)}")
                    for source in tree.library
                    if source.path.endswith(".cc") and tree.room_of(source.path) not in below
                    and header_of(source, tree) not in tested])


# --- text

COLUMNS_MAX = 120


@figure("long-lines", f"lines of C and C++ over {COLUMNS_MAX} columns",
        "two files fit side by side, and a diff in a mail",
        "break the line (clang-format does with the project's .clang-format)")
def long_lines(tree):
    return counted([Place(name, number, f"{len(line)} columns") for name, source in tree.sources.items()
                    for number, line in enumerate(source.lines, 1) if len(line) > COLUMNS_MAX])


@figure("long-script-lines", f"lines of scripts, Python and CMake over {COLUMNS_MAX} columns",
        "two files fit side by side, and a diff in a mail", "break the line")
def long_script_lines(tree):
    return counted([Place(name, number, f"{len(line)} columns") for name, lines in tree.script_lines
                    for number, line in enumerate(lines, 1) if len(line) > COLUMNS_MAX])


@figure("unmapped-files", "files of the library that their room's README.md does not name",
        "the map of a room is where a reader begins", "add a row to the README.md beside the file")
def unmapped_files(tree):
    places = []
    for source in tree.library:
        room, _, name = source.path.rpartition("/")
        stem = name.rpartition(".")[0]
        if not re.search(rf"`{re.escape(stem)}\.", tree.read(f"{room}/README.md")):
            places.append(Place(source.path, 0, f"not in {room}/README.md"))
    return counted(places)


HEAD_MIN, HEAD_MAX = 3, 10


@figure("heads-missing", f".cc files of the library that do not open with a comment of {HEAD_MIN} to {HEAD_MAX} lines",
        "the first thing to know of a file is what it owns, on which thread it runs and what it never does",
        'open it with "// name.cc - what it is", then those three')
def heads_missing(tree):
    places = []
    for source in tree.library:
        if not source.path.endswith(".cc"):
            continue
        head = 0
        while head < len(source.lines) and source.lines[head].startswith("//"):
            head += 1
        if not HEAD_MIN <= head <= HEAD_MAX:
            places.append(Place(source.path, 1, f"{head} lines of comment" if head else "opens with no comment"))
    return counted(places)


@figure("banned-words", "private words of the library (tests/tidy/words.txt)",
        "the field has a word for it, which the reader knows", "write the word beside it in tests/tidy/words.txt")
def banned_words(tree):
    return counted([Place(source.path, number, f"{word}: write {instead}") for source in tree.library
                    for number, word, instead in words.found_in(source, words.read(tree)["words"])])


@figure("riddles", "comments of the library whose subject is somebody, nobody, whoever or what is ...",
        "a reader wants to know which thread does it, and to what",
        "say who does what, in the present tense, in one clause")
def riddles(tree):
    return counted([Place(source.path, number, f"{word}: {instead}") for source in tree.library
                    for number, word, instead in words.found_in(source, words.read(tree)["subjects"])])
