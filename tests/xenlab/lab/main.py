# SPDX-License-Identifier: GPL-2.0-or-later
"""What Dom0 does once it is up: the request of the host side, /out/request.json.

{"do": "cases", "only": PATTERN}                                 runs cases
{"do": "script", "path": "/out/script.py", "arguments": [...]}   runs a Python file with the library at hand
{"do": "shell"}                                                  nothing: Dom0's console has a shell
"""
import json
import runpy
import sys


def main():
    with open("/out/request.json", encoding="utf-8") as file:
        request = json.load(file)
    if request["do"] == "script":
        sys.argv = [request["path"], *request["arguments"]]
        runpy.run_path(request["path"], run_name="__main__")
    elif request["do"] == "cases":
        from runner import run_cases  # a script need not wait for it

        return run_cases(request["only"])
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
