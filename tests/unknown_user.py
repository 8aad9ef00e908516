"""Commands under a uid that the system does not know, with nothing in the environment but what they are given."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

__all__ = ["as_unknown_user"]

_ID = "12345"
#: Reading is allowed, wherever the checkout and its interpreter are (below a home directory of mode 0700, say); writing
#: is not.
_READS = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


def as_unknown_user(**variables: str) -> list[str]:
    """A program with arguments that runs a command, which follows; skips the test where that cannot be done.

    Args:
        variables: the command's environment beside ``PATH``.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can run a command under another uid")
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv (util-linux) to run a command under another uid")
    launcher = ["setpriv", f"--reuid={_ID}", f"--regid={_ID}", "--clear-groups", *_READS]
    tried = subprocess.run([*launcher, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no command can be run under another uid here: {tried.stderr.strip()}")
    environment = {"PATH": os.environ["PATH"], **variables}
    return [*launcher, "env", "-i", *(f"{name}={value}" for name, value in environment.items())]
