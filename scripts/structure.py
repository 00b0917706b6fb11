#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts how the tree is laid out and holds it to the limits below.

usage: scripts/structure.py [--all] BUILD     (from anywhere, such as: scripts/structure.py build/dev)

BUILD must be up to date: which file calls which is read from its object files. Prints each finding
of a figure that is over its limit (--all: of every figure), then each figure. Exit status 1 if
one is over its limit, 2 if something is missing.

A finding is mended in the code. Who needs an exception adds it here, with the reason.
"""
import collections
import json
import os
import re
import shlex
import subprocess
import sys

# The most findings of each kind that are allowed.
LIMITS = {
    "calls that go in circles between folders": 0,
    "calls that go in circles between more than two files of a folder": 0,
    "functions that are declared in another file's header": 0,
    "functions that are declared and defined nowhere": 0,
    "file names that stand more than once": 0,
    "folders with too many .c files": 0,
    "static functions with a name of one word": 0,
    "names of static functions that stand in too many files": 0,
    "headers that everything includes": 0,
    "comparisons with NULL": 0,
    "parts with too few assertions": 0,
}

FOLDER_SOURCES_MAX = 15  # .c files
STATIC_FILES_MAX = 2  # files with a static function of one name
ASSERTS_MIN = 3.0  # per 1,000 lines of the daemon
STAR_FILES_MIN = 4  # a folder with fewer .c files says little about what "everything" includes
STAR_INCLUDES_MAX = 8  # what most of a folder includes may itself include so many of our headers

PRODUCT = ("daemon", "frontend", "cli", "plugins")

# Names that say what a file is for by convention, wherever it is.
CONVENTIONAL = {
    "CMakeLists.txt", "README.md", "packages.txt", "__init__.py", "conftest.py", "Kbuild",
    "Makefile", "init", "run",
}
# Folders and files that have their names from elsewhere: of a policy, of the script that reads them,
# of what a fuzzer found, of a file that they are a frozen copy of, of programs outside the tree that
# import them.
NAMED_ELSEWHERE = ("policies/", "scripts/packages/", "tests/fuzz/corpus/", "tests/unit/policy/abi/",
                   "tests/e2e/frontend.py")
# What base/ holds is the daemon's vocabulary: assert.h, fault.h and the like are for everyone.
EVERYBODYS = ("daemon/base/",)


class Tree:
    """The files of a checkout and the objects that were built of them."""

    def __init__(self, root, build):
        self.root = root
        self.build = os.path.abspath(build)
        listed = self.run("git", "ls-files", "--cached", "--others", "--exclude-standard")
        self.files = [f for f in listed.splitlines() if os.path.exists(os.path.join(root, f))]
        self.product = [f for f in self.files if f.split("/")[0] in PRODUCT]
        self.sources = [f for f in self.product if f.endswith(".c")]
        self.headers = [f for f in self.product if f.endswith(".h")]
        self.text = {f: self.read(f) for f in self.sources + self.headers}
        self.functions = self.tags("f", self.sources)
        self.prototypes = self.tags("p", self.headers)

    def run(self, *command):
        return subprocess.run(command, cwd=self.root, check=True, stdout=subprocess.PIPE,
                              text=True).stdout

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()

    def tags(self, kind, files):
        """(name, file, whether static) of each function or prototype."""
        if not files:
            return []
        out = self.run("ctags", "-f", "-", f"--kinds-C={kind}", "--fields=+f", "--sort=no",
                       "--language-force=C", *files)
        rows = [line.split("\t") for line in out.splitlines()]
        # Names that begin with "_" are the language's or a runtime's.
        return [(row[0], row[1], "file:" in row[3:]) for row in rows if row[0][0] != "_"]

    def objects(self):
        """(object, source, target) of each product source that BUILD compiles."""
        with open(os.path.join(self.build, "compile_commands.json"), encoding="utf-8") as file:
            commands = json.load(file)
        found = []
        for command in commands:
            source = os.path.relpath(os.path.realpath(command["file"]),
                                     os.path.realpath(self.root))
            if source not in self.text:
                continue
            words = shlex.split(command["command"])
            output = words[words.index("-o") + 1]
            target = output.split(".dir/")[0]
            found.append((os.path.join(command["directory"], output), source, target))
        return found


# --- who calls whom --------------------------------------------------------------------------


def read_symbols(tree, objects):
    """For each object the global symbols that it defines, and those that it needs."""
    out = tree.run("nm", "-A", "-P", "-g", *[path for path, _, _ in objects])
    defined = collections.defaultdict(set)
    needed = collections.defaultdict(set)
    for line in out.splitlines():
        path, rest = line.split(": ", 1)
        name, kind = rest.split()[:2]
        (needed if kind in "Uwv" else defined)[path].add(name)
    return defined, needed


def call_graph(tree):
    """source -> the sources whose functions or data it names.

    Programs may define the same name each; the one of the same target counts first, then one of the
    same part of the tree.
    """
    objects = tree.objects()
    defined, needed = read_symbols(tree, objects)
    homes = collections.defaultdict(list)
    for path, source, target in objects:
        for name in defined[path]:
            homes[name].append((source, target))
    graph = {source: set() for _, source, _ in objects}
    for path, source, target in objects:
        part = source.split("/")[0]
        for name in needed[path]:
            near = [s for s, t in homes[name] if t == target]
            near = near or [s for s, _ in homes[name] if s.split("/")[0] == part]
            graph[source].update(near or [s for s, _ in homes[name]])
        graph[source].discard(source)
    return graph


def find_circles(graph):
    """The strongly connected components of more than one file (Tarjan)."""
    index, low, stack, circles = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] != index[node]:
            return
        circle = []
        while not circle or circle[-1] != node:
            circle.append(stack.pop())
        if len(circle) > 1:
            circles.append(sorted(circle))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return circles


def check_circles(tree):
    across, within = [], []
    for circle in find_circles(call_graph(tree)):
        folders = {os.path.dirname(f) for f in circle}
        if len(folders) > 1:
            across.append("call each other: " + " ".join(circle))
        elif len(circle) > 2:
            within.append("call each other: " + " ".join(circle))
    return {
        "calls that go in circles between folders": across,
        "calls that go in circles between more than two files of a folder": within,
    }


# --- where things are ------------------------------------------------------------------------


def check_homes(tree):
    """A function of X.h is defined in X.c."""
    homes = collections.defaultdict(list)
    for name, file, static in tree.functions:
        if not static:
            homes[name].append(file)
    elsewhere, nowhere = [], []
    for name, header, _ in tree.prototypes:
        part = header.split("/")[0]
        near = [f for f in homes[name] if f.split("/")[0] == part] or homes[name]
        if not near:
            nowhere.append(f"{header}: {name}() is defined nowhere")
        elif header[:-2] + ".c" not in near:
            elsewhere.append(f"{header}: {name}() is defined in {' '.join(sorted(near))}")
    return {
        "functions that are declared in another file's header": elsewhere,
        "functions that are declared and defined nowhere": nowhere,
    }


def check_names(tree):
    """A file name stands once in the tree."""
    places = collections.defaultdict(set)
    for file in tree.files:
        folder, name = os.path.split(file)
        if name in CONVENTIONAL or name.startswith(".") or file.startswith(NAMED_ELSEWHERE):
            continue
        places[os.path.splitext(name)[0]].add(folder)
    found = [f"{name}: stands in {' '.join(sorted(folders))}"
             for name, folders in sorted(places.items()) if len(folders) > 1]
    return {"file names that stand more than once": found}


def check_folders(tree):
    counts = collections.Counter(os.path.dirname(f) for f in tree.files if f.endswith(".c"))
    found = [f"{folder}: {count} .c files, at most {FOLDER_SOURCES_MAX} are allowed"
             for folder, count in sorted(counts.items()) if count > FOLDER_SOURCES_MAX]
    return {"folders with too many .c files": found}


def check_statics(tree):
    files = collections.defaultdict(set)
    for name, file, static in tree.functions:
        if static:
            files[name].add(file)
    words = [f"{file}: {name}() says too little; begin with the file's noun"
             for name, places in sorted(files.items()) if "_" not in name
             for file in sorted(places)]
    many = [f"{name}() stands in {' '.join(sorted(places))}"
            for name, places in sorted(files.items()) if len(places) > STATIC_FILES_MAX]
    return {
        "static functions with a name of one word": words,
        "names of static functions that stand in too many files": many,
    }


def check_stars(tree):
    """No header stands for all others.

    That is one that over half of the files of two or more other folders include, or of its own if
    it brings many headers of ours along.
    """
    sizes = collections.Counter(os.path.dirname(f) for f in tree.sources)
    users = collections.defaultdict(collections.Counter)
    for source in tree.sources:
        for name in set(re.findall(r'^#include "(.*)"', tree.text[source], re.M)):
            users[os.path.basename(name)][os.path.dirname(source)] += 1
    found = []
    for header in tree.headers:
        folder, name = os.path.split(header)
        if header.startswith(EVERYBODYS):
            continue
        counts = users[name]  # of its file name, which stands once
        most = [f for f in sorted(counts) if sizes[f] >= STAR_FILES_MIN and 2 * counts[f] > sizes[f]]
        brings = len(re.findall(r'^#include "', tree.text[header], re.M))
        others = [f"{f} ({counts[f]} of {sizes[f]})" for f in most if f != folder]
        if len(others) >= 2:
            found.append(f"{header}: most files include it of {', '.join(others)}")
        elif folder in most and brings > STAR_INCLUDES_MAX:
            found.append(f"{header}: brings {brings} headers to {counts[folder]} of the "
                         f"{sizes[folder]} files of {folder}")
    return {"headers that everything includes": found}


# --- how it is written -----------------------------------------------------------------------


def without_comments(text):
    """The same lines, with nothing where comments and strings were."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
    return re.sub(pattern, lambda m: "\n" * m.group().count("\n"), text, flags=re.S)


def check_dialect(tree):
    found = []
    for file, text in tree.text.items():
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            if re.search(r"[!=]=\s*NULL\b|\bNULL\s*[!=]=", line):
                found.append(f"{file}:{number}: write if (p) or if (!p)")
    return {"comparisons with NULL": found}


def count_asserts(tree):
    """part of the tree -> (assertions, lines); a part is a layer of the daemon or another folder."""
    counts = {}
    for file, text in tree.text.items():
        words = file.split("/")
        part = "/".join(words[:2]) if words[0] == "daemon" and len(words) > 2 else words[0]
        asserts, lines = counts.get(part, (0, 0))
        if file not in ("daemon/base/assert.h", "daemon/base/assert.c"):
            asserts += len(re.findall(r"\bASSERT(?:_UNREACHABLE)?\(", without_comments(text)))
        counts[part] = (asserts, lines + text.count("\n"))
    return counts


def check_asserts(tree):
    counts = {part: c for part, c in count_asserts(tree).items() if part.startswith("daemon")}
    asserts = sum(a for a, _ in counts.values())
    lines = max(1, sum(n for _, n in counts.values()))
    found = []
    if 1000 * asserts / lines < ASSERTS_MIN:
        found.append(f"{asserts} assertions in {lines} lines of the daemon; at least {ASSERTS_MIN} "
                     "per 1,000 lines are wanted")
    return {"parts with too few assertions": found}


# --- all of it -------------------------------------------------------------------------------

CHECKS = (check_circles, check_homes, check_names, check_folders, check_statics, check_stars,
          check_dialect, check_asserts)


def check(tree):
    """kind -> findings, for every kind of LIMITS."""
    found = {}
    for function in CHECKS:
        found.update(function(tree))
    return found


def report(tree, found, everything):
    """Prints findings and figures. Returns whether every figure is within its limit."""
    fine = True
    for kind, findings in found.items():
        over = len(findings) > LIMITS[kind]
        fine = fine and not over
        for finding in findings if over or everything else ():
            print(f"structure: {finding}")
    for kind, findings in found.items():
        verdict = "over the limit" if len(findings) > LIMITS[kind] else "fine"
        print(f"{len(findings):5} {kind} (at most {LIMITS[kind]}: {verdict})")
    for part, (asserts, lines) in sorted(count_asserts(tree).items()):
        print(f"{1000 * asserts / max(1, lines):5.1f} assertions per 1,000 lines: {part} "
              f"({asserts} in {lines})")
    return fine


def main():
    words = [word for word in sys.argv[1:] if word != "--all"]
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        tree = Tree(root, words[0])
        return 0 if report(tree, check(tree), "--all" in sys.argv) else 1
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"structure: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
