# SPDX-License-Identifier: GPL-2.0-or-later
"""What Dom0 says of each case, as lines for people; and whether every case was heard of."""
import json


class Report:
    """Collects results; hear() takes what Dom0's main program says, line by line."""

    def __init__(self, expected, out):
        self.expected, self.out = expected, out
        self.results = {}

    def hear(self, line):
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict) or "case" not in said:
            print(f"        {said['note'] if isinstance(said, dict) and 'note' in said else line}", flush=True)
            return
        self.results[said["case"]] = said["result"]
        name, seconds = said["case"], said["seconds"]
        if said["result"] == "ok":
            print(f"ok      {name} ({seconds} s)", flush=True)
        elif said["result"] == "not run":
            print(f"not run {name}: {said['why']}", flush=True)
        else:
            print(f"not ok  {name} ({seconds} s): {said['why']}\n        see {self.out}/{name.replace('/', '-')}/", flush=True)

    def finish(self, seconds):
        """The sum; returns the exit status: 0 only if each case has been run and was ok."""
        for name in self.expected:
            if name not in self.results:
                self.results[name] = "missing"
                print(f"not ok  {name}: nothing was heard of it", flush=True)
        results = list(self.results.values())
        good = results.count("ok")
        print(f"{good} passed, {len(results) - good} failed, in {seconds:.0f} s", flush=True)
        return 0 if results and good == len(results) else 1
