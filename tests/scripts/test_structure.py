#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each check of scripts/structure.py finds what it is for, in a small tree made for it.

usage: tests/scripts/test_structure.py
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
sys.dont_write_bytecode = True
import structure  # noqa: E402

# A tree in which nothing is to be found: each test spoils one thing.
GOOD = {
    "daemon/base/text.h": "int text_size(const char *text);\n",
    "daemon/base/text.c": '#include "base/text.h"\n'
                          "#define ASSERT(x) (void)(x)\n"
                          "static int text_count(const char *t) { return *t ? 1 : 0; }\n"
                          "int text_size(const char *t) { ASSERT(t); return text_count(t); }\n",
    "daemon/engine/turn.h": "int turn_take(void);\n",
    "daemon/engine/turn.c": '#include "engine/turn.h"\n#include "base/text.h"\n'
                            'int turn_take(void) { return text_size("== NULL"); }\n',
    "daemon/engine/CMakeLists.txt": "",
    "daemon/base/CMakeLists.txt": "",
}


class StructureTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.files = dict(GOOD)

    def put(self, path, text):
        """Adds text to a file, that need not exist."""
        self.files[path] = self.files.get(path, "") + text

    def compile(self, source):
        output = source.replace("/", "_") + ".o"
        command = ["cc", "-Idaemon", "-o", os.path.join(self.folder.name, output), "-c", source]
        subprocess.run(command, cwd=self.folder.name, check=True)
        return {"directory": self.folder.name, "command": " ".join(command),
                "file": os.path.join(self.folder.name, source)}

    def check(self):
        """kind -> findings, where there are some."""
        for path, text in self.files.items():
            path = os.path.join(self.folder.name, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        subprocess.run(["git", "init", "-q"], cwd=self.folder.name, check=True)
        commands = [self.compile(path) for path in self.files if path.endswith(".c")]
        build = os.path.join(self.folder.name, ".git")
        with open(os.path.join(build, "compile_commands.json"), "w", encoding="utf-8") as file:
            json.dump(commands, file)
        found = structure.check(structure.Tree(self.folder.name, build))
        self.assertEqual(set(found), set(structure.LIMITS))
        return {kind: findings for kind, findings in found.items() if findings}

    def expect(self, kind, *words):
        """One finding, of this kind, with these words."""
        found = self.check()
        self.assertEqual(list(found), [kind])
        self.assertEqual(len(found[kind]), 1, found)
        for word in words:
            self.assertIn(word, found[kind][0])

    def test_nothing(self):
        self.assertEqual(self.check(), {})

    def test_circle_between_folders(self):
        self.put("daemon/base/text.c", '#include "engine/turn.h"\n'
                                       "int text_up(void);\n"
                                       "int text_up(void) { return turn_take(); }\n")
        self.expect("calls that go in circles between folders", "daemon/base/text.c",
                    "daemon/engine/turn.c")

    def test_circle_by_a_table(self):
        """Whoever names a table of functions reaches them."""
        self.put("daemon/engine/turn.c", "int (*const turn_steps[])(void) = {turn_take};\n")
        self.put("daemon/base/text.c", "extern int (*const turn_steps[])(void);\n"
                                       "int text_up(void);\n"
                                       "int text_up(void) { return turn_steps[0](); }\n")
        self.expect("calls that go in circles between folders", "daemon/base/text.c")

    def put_circle(self, names):
        for name, following in zip(names, names[1:] + names[:1]):
            self.put(f"daemon/engine/{name}.h", f"int {name}_go(void);\n")
            self.put(f"daemon/engine/{name}.c",
                     f'#include "engine/{name}.h"\n#include "engine/{following}.h"\n'
                     f"int {name}_go(void) {{ return {following}_go(); }}\n")

    def test_circle_of_two(self):
        self.put_circle(["one", "two"])
        self.assertEqual(self.check(), {})

    def test_circle_of_three(self):
        self.put_circle(["one", "two", "three"])
        self.expect("calls that go in circles between more than two files of a folder",
                    "daemon/engine/one.c", "daemon/engine/two.c", "daemon/engine/three.c")

    def test_same_names_of_two_parts(self):
        """A program's own function hides one of the daemon's with the same name."""
        self.put("frontend/front.c", "int turn_take(void) { return 0; }\n"
                                     "int text_size(const char *t) { return *t + turn_take(); }\n")
        graph_of = {}
        self.check()
        tree = structure.Tree(self.folder.name, os.path.join(self.folder.name, ".git"))
        graph_of.update(structure.call_graph(tree))
        self.assertEqual(graph_of["frontend/front.c"], set())
        self.assertEqual(graph_of["daemon/engine/turn.c"], {"daemon/base/text.c"})

    def test_declared_elsewhere(self):
        self.put("daemon/engine/turn.h", "int other_go(void);\n")
        self.put("daemon/engine/other.c", '#include "engine/turn.h"\n'
                                          "int other_go(void) { return 0; }\n")
        self.expect("functions that are declared in another file's header",
                    "daemon/engine/turn.h: other_go()", "daemon/engine/other.c")

    def test_declared_only(self):
        self.put("daemon/engine/turn.h", "int turn_never(void);\n")
        self.expect("functions that are declared and defined nowhere", "turn_never()")

    def test_name_twice(self):
        self.put("tests/turn.py", "")
        self.expect("file names that stand more than once", "turn: ", "daemon/engine", "tests")

    def test_crowded_folder(self):
        for number in range(structure.FOLDER_SOURCES_MAX + 1):
            self.put(f"tests/crowd_{number}.c", "")
        self.expect("folders with too many .c files", "tests: 16 .c files")

    def test_static_of_one_word(self):
        self.put("daemon/engine/turn.c", "static int take(void);\n"
                                         "static int take(void) { return turn_take(); }\n"
                                         "int (*turn_used)(void) = take;\n")
        self.expect("static functions with a name of one word", "daemon/engine/turn.c: take()")

    def test_static_in_many_files(self):
        for name in ("one", "two", "three"):
            self.put(f"daemon/engine/{name}.c", "static int take_all(void) { return 1; }\n"
                                                f"int (*{name}_used)(void) = take_all;\n")
        self.expect("names of static functions that stand in too many files", "take_all()",
                    "one.c", "two.c", "three.c")

    def test_star_of_other_folders(self):
        for folder in ("one", "two"):
            for number in range(4):
                self.put(f"daemon/{folder}/{folder}_{number}.c", '#include "engine/turn.h"\n')
        self.expect("headers that everything includes", "daemon/engine/turn.h",
                    "daemon/one (4 of 4)", "daemon/two (4 of 4)")

    def test_star_of_its_own_folder(self):
        for number in range(9):
            self.put(f"daemon/engine/part_{number}.h", "")
            self.put(f"daemon/engine/part_{number}.c", '#include "engine/engine.h"\n')
            self.put("daemon/engine/engine.h", f'#include "engine/part_{number}.h"\n')
        self.expect("headers that everything includes", "daemon/engine/engine.h: brings 9")

    def test_comparison_with_null(self):
        self.put("daemon/engine/turn.c", "/* == NULL */\n#define NULL ((void *)0)\n"
                                         "int turn_has(const char *t);\n"
                                         "int turn_has(const char *t) { return t != NULL; }\n")
        self.expect("comparisons with NULL", "daemon/engine/turn.c:7")

    def test_too_few_assertions(self):
        self.put("daemon/engine/turn.c", "\n" * 1000)
        self.expect("parts with too few assertions", "2 assertions in")


if __name__ == "__main__":
    unittest.main()
