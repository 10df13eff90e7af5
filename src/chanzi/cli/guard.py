"""Between a command and the shell: one line for a user's mistake, a quiet end for Ctrl-C and closed pipes."""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from chanzi.errors import ChanziError
from chanzi.settings import DEBUG

USER_ERROR = 2
INTERRUPTED = 130
PIPE_CLOSED = 141


def guarded(app: App, tokens: Sequence[str] | None = None) -> int:
    """Run `app` on `tokens` (the process's own arguments by default) and return the exit code.

    0 done; 1 done, and what was asked to be checked is not well; 2 a user's mistake, told in one line on stderr;
    130 interrupted; 141 nobody reads the output any more. Anything else is a bug and keeps its traceback, and so do
    all with CHANZI_DEBUG=1 or more.
    """
    try:
        code = app(
            sys.argv[1:] if tokens is None else list(tokens),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except CycloptsError as error:
        return _tell(f"{one_line(str(error))} (see `{_help_of(error)}`)")
    except BrokenPipeError:
        _silence_stdout()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except ChanziError as error:
        if _debugging():
            raise
        return _tell(one_line(str(error)))
    except OSError as error:
        if _debugging():
            raise
        where = f" {error.filename}" if error.filename else ""
        return _tell(one_line(f"cannot use{where}: {error.strerror or error}") + " (check the path)")
    except MemoryError:
        if _debugging():
            raise
        return _tell("not enough memory (a smaller input, fewer frames, or a chip with smaller memories)")
    return code if isinstance(code, int) else 0


def one_line(text: str) -> str:
    """Return `text` with every run of white space as one blank, and nothing a terminal would obey."""
    joined = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in joined)


def _debugging() -> bool:
    return DEBUG.get() not in ("", "0")


def _tell(text: str) -> int:
    try:
        sys.stdout.flush()
        sys.stderr.write(f"error: {text}\n")
    except BrokenPipeError:
        _silence_stdout()
    return USER_ERROR


def _help_of(error: CycloptsError) -> str:
    chain = " ".join(error.command_chain or ())
    return f"chanzi {chain} --help" if chain else "chanzi --help"


def _silence_stdout() -> None:
    """Point stdout at nothing, or the interpreter complains about the closed pipe on its way out."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
