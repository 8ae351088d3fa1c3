"""The process between an embedded server and the program that started it; ``transports.embedded`` runs this file.

    python -I -S guard.py LIFELINE DIRECTORY COMMAND...

The guard starts COMMAND, tells the program its pid through LIFELINE (a socket's number), and its exit status when it
ends. The lifeline also tells the guard about the program: a byte says that the guard is no longer needed, while an end
without a byte says that the program died, however it died, and then DIRECTORY (unless empty) is removed. Either way
the command does not outlive its guard, nor do the command's own children. Every start of a server waits for this
file, so it uses ``posix``, which is built in: ``os`` would add 1.5 ms and ``shutil`` another 8 ms.
"""

import _thread
import posix
import sys

SIGKILL = 9
NO_SIGNALS: tuple[int, ...] = ()


def main(lifeline: int, directory: str, command: list[str]) -> None:
    """Run ``command`` until it ends or is no longer wanted."""
    posix.set_inheritable(lifeline, False)  # the server must not hold it: its own end has to show
    pid = start(command)
    tell(lifeline, pid)

    running = _thread.allocate_lock()
    running.acquire()
    _thread.start_new_thread(reap, (pid, lifeline, running))
    orphaned = not wait_for_word(lifeline)
    if running.locked():  # a pid that was reaped may be somebody else's by now
        kill_group(pid)
    running.acquire()

    if orphaned and directory:
        import shutil

        shutil.rmtree(directory, ignore_errors=True)


def start(command: list[str]) -> int:
    """Run ``command`` as the leader of a process group, with no signal blocked; returns its pid."""
    if hasattr(posix, "posix_spawn"):
        return posix.posix_spawn(command[0], command, posix.environ, setpgroup=0, setsigmask=NO_SIGNALS)
    return fork(command)


def fork(command: list[str]) -> int:
    """The same on PyPy, which has no ``posix_spawn``. A command that cannot be run ends with status 127 there."""
    import signal
    from contextlib import suppress

    pid = posix.fork()
    if pid:
        with suppress(OSError):  # it runs already, and has done so itself
            posix.setpgid(pid, pid)
        return pid
    try:
        posix.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, NO_SIGNALS)
        posix.execve(command[0], command, posix.environ)
    except OSError as error:
        posix.write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
    finally:
        posix._exit(127)  # noqa: SLF001  # the child ends here, without the guard's own ending


def reap(pid: int, lifeline: int, running: _thread.LockType) -> None:
    """Wait for the command's end, then end its children (a background save, say) and report the status."""
    _, status = posix.waitpid(pid, 0)
    kill_group(pid)
    tell(lifeline, posix.waitstatus_to_exitcode(status))
    running.release()


def wait_for_word(lifeline: int) -> bytes:
    """Block until the program says something, or (empty) has gone."""
    try:
        return posix.read(lifeline, 1)
    except OSError:  # a reset: the program died before it had read everything
        return b""


def tell(lifeline: int, number: int) -> None:
    """Send a number as twelve bytes."""
    try:
        posix.write(lifeline, b"%11d\n" % number)
    except OSError:
        return  # the program has gone, and needs no answer


def kill_group(pid: int) -> None:
    """End the process group that ``pid`` leads."""
    try:
        posix.killpg(pid, SIGKILL)
    except OSError:
        return  # nothing of it is left


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
