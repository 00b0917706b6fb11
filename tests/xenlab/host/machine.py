# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated machine: Xen, Dom0 and, in them, the guests.

Two folders of the host are Dom0's over 9p: /lab, all tests, to read; /out, to write. What Dom0's
main program says comes back through /out/said, its exit status through /out/ended.
"""
import os
import shutil
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(os.path.dirname(HERE))
QEMU = "qemu-system-x86_64"


class MachineError(Exception):
    """It did not come up, or did not end by itself."""


class Machine:
    """One boot."""

    def __init__(self, packages, dom0, out, memory=3072, dom0_memory=1280, dom0_vcpus=1):
        self.packages, self.dom0, self.out = packages, dom0, out
        self.memory, self.dom0_memory, self.dom0_vcpus = memory, dom0_memory, dom0_vcpus
        self.console = os.path.join(out, "console.log")
        self.process = None
        self._heard = 0

    def prepare(self):
        """Makes /out anew."""
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)

    def command(self, interactive):
        xen = f"console=com1 com1=115200,8n1 dom0_mem={self.dom0_memory}M,max:{self.dom0_memory}M dom0_max_vcpus={self.dom0_vcpus} bootscrub=0 no-real-mode reboot=no conring_size=256k"
        linux = "console=hvc0 rdinit=/init loglevel=4 panic=1"
        serial = f"stdio,id=com1,mux=on,signal=off,logfile={self.console}" if interactive else f"file,id=com1,path={self.console}"
        argv = [QEMU, "-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", "2", "-m", str(self.memory)]
        argv += ["-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"]
        argv += ["-chardev", serial, "-serial", "chardev:com1"]
        argv += ["-kernel", self.packages.hypervisor, "-append", xen]
        argv += ["-initrd", f"{self.packages.kernel} {linux},{self.dom0}"]
        for tag, path, options in (("lab", TESTS, ",readonly=on"), ("out", self.out, "")):
            argv += ["-fsdev", f"local,id={tag},path={path},security_model=none{options}"]
            argv += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        return argv

    def start(self, interactive=False):
        options = {} if interactive else {"stdin": subprocess.DEVNULL, "start_new_session": True}
        self.process = subprocess.Popen(self.command(interactive), **options)

    def wait(self, seconds, hear):
        """Passes what Dom0's main program says to hear(), line by line; returns its exit status."""
        deadline = time.monotonic() + seconds
        ended = os.path.join(self.out, "ended")
        while not os.path.exists(ended):
            self._listen(hear)
            if self.process.poll() is not None:
                raise MachineError(f"the machine stopped (QEMU's exit status {self.process.returncode}): see {self.console}")
            if time.monotonic() > deadline:
                raise MachineError(f"not finished within {seconds} s: see {self.console}")
            time.sleep(0.05)
        self._listen(hear)
        with open(ended, encoding="ascii") as file:
            return int(file.read())

    def _listen(self, hear):
        try:
            with open(os.path.join(self.out, "said"), "rb") as file:
                file.seek(self._heard)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data.rfind(b"\n") + 1
        self._heard += whole
        for line in data[:whole].decode(errors="replace").splitlines():
            hear(line)

    def stop(self):
        """Ends it as a power cut does: nothing of it is to be kept."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)
