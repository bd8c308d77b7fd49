"""Documents as their readers use them: the fenced `console` blocks, and a terminal that runs what they show.

A block is lines that begin with `$ `, each followed by the rest of its command (quotes that are open, a heredoc, a line
that ends with a backslash) and then by what the command prints. In what is printed, `...` stands for anything in its
line, and on a line of its own for any lines. What differs at each run (ids, keys, secrets, times, tokens) is compared by
its form; that of the document is taken for that of the run from then on, in commands too.

Comments in the document's source say what its readers need not see:

    <!-- not run: REASON -->     the next block is not run
    <!-- figures vary -->        every number of the next block is compared by its form
    <!-- first: COMMAND -->      runs before the next block; it may have several lines
"""

import dataclasses
import os
import pathlib
import re
import selectors
import shlex
import signal
import subprocess
import time

# Longer than anything takes that goes well, on a busy machine.
COMMAND_SECONDS = 90


@dataclasses.dataclass
class Command:
    """What is typed, and the lines that the document shows after it."""

    line: int
    text: str
    printed: list[str]


@dataclasses.dataclass
class Block:
    """One fenced block. `not_run` is the reason why it is not run, if it is not."""

    line: int
    commands: list[Command]
    not_run: str | None
    figures: bool
    first: list[str]


def read_blocks(path):
    """The console blocks of a document."""
    blocks, marks, lines = [], Marks(), iter(enumerate(path.read_text().splitlines(), 1))
    for number, line in lines:
        if line.startswith("<!--"):
            comment = line
            while "-->" not in comment:
                comment += "\n" + next(lines)[1]
            marks.read(comment.removeprefix("<!--").partition("-->")[0].strip())
        elif fence := re.fullmatch(r"( *)(```+)(\S*)", line):
            indent, fence, language = fence.groups()
            inside = []
            for _, line in lines:
                if line.strip() == fence:
                    break
                inside.append(line.removeprefix(indent))
            # A shell's language would let commands pass by that nobody runs.
            assert language not in ("sh", "bash", "shell"), f"{path}:{number}: commands stand in `console` blocks"
            if language == "console":
                commands = list(read_commands(inside, number + 1)) if marks.not_run is None else []
                blocks.append(Block(number, commands, marks.not_run, marks.figures, marks.first))
                marks = Marks()
        elif line.strip():
            assert marks == Marks(), f"{path}:{number}: a mark stands right before its block"
    return blocks


@dataclasses.dataclass
class Marks:
    not_run: str | None = None
    figures: bool = False
    first: list[str] = dataclasses.field(default_factory=list)

    def read(self, comment):
        if comment == "figures vary":
            self.figures = True
        elif comment.startswith("not run: "):
            self.not_run = comment.removeprefix("not run: ")
        elif comment.startswith("first: "):
            self.first.append(comment.removeprefix("first: "))


def read_commands(lines, number):
    lines = list(lines)
    assert not lines or lines[0].startswith("$ "), f"line {number}: a console block begins with a command"
    while lines:
        begun, text = number, lines.pop(0).removeprefix("$ ")
        number += 1
        while lines and not is_complete(text):
            text += "\n" + lines.pop(0)
            number += 1
        printed = []
        while lines and not lines[0].startswith("$ "):
            printed.append(lines.pop(0))
            number += 1
        yield Command(begun, text, printed)


def is_complete(text):
    """Whether a shell would run this, and not wait for more."""
    if text.endswith("\\"):
        return False
    # A heredoc without its end is a mere warning.
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    return checked.returncode == 0 and not checked.stderr


# What stands for something else at each run. The first alternative that matches is the form.
FORMS = re.compile(
    r"(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| UTC)?)"
    r"|(?P<digest>\b[0-9a-f]{64}\b)"
    r"|(?P<jwt>\beyJ[\w-]+(?:\.[\w-]+)*)"
    r"|(?P<key>\b[A-Za-z0-9+/]{43}=|\b(?!(?:checkout|order|invoice)_)[A-Za-z0-9_-]{40,})"
    r"|(?P<sandbox>(?<=sandbox-)[0-9a-f]{12})"
    r"|(?P<version>(?<=waypost )\d+\.\d+\.\d+)"
)
FORM_OF = {
    "uuid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| UTC)?",
    "digest": r"[0-9a-f]{64}",
    "jwt": r"eyJ[\w-]+(?:\.[\w-]+)*",
    "key": r"(?:[A-Za-z0-9+/]{43}=|[A-Za-z0-9_-]{40,})",
    "sandbox": r"[0-9a-f]{12}",
    "version": r"\d+\.\d+\.\d+",
}
# What the reader goes on with, so that it is the same thing wherever the document shows it.
KEPT = ("uuid", "jwt", "key", "sandbox")
FIGURE = re.compile(r"\d[\d,.]*")
UNIT = re.compile(r"\b(?:ns|us|ms|s|KiB|MiB|GiB)\b")


class Names:
    """What things are called in the document, and what they are called in this run."""

    def __init__(self):
        self.known = {}

    def in_run(self, text):
        for name in sorted(self.known, key=len, reverse=True):
            text = text.replace(name, self.known[name])
        return text

    def match(self, expected, actual, figures):
        """Whether lines are as the document shows them; learns names from those that are."""
        found = self._match(expected, actual, figures, {})
        if found is None:
            return False
        self.known.update(found)
        return True

    def _match(self, expected, actual, figures, found):
        if not expected:
            return None if actual else found
        if expected[0].strip() == "...":
            for skipped in range(len(actual) + 1):
                rest = self._match(expected[1:], actual[skipped:], figures, found)
                if rest is not None:
                    return rest
            return None
        if not actual:
            return None
        learned = self._match_line(expected[0], actual[0], figures, found)
        return None if learned is None else self._match(expected[1:], actual[1:], figures, {**found, **learned})

    def _match_line(self, expected, actual, figures, found):
        pattern, names, end = "", [], 0
        for form in FORMS.finditer(expected):
            pattern += literal(expected[end : form.start()], figures)
            end = form.end()
            name, kind = form.group(), form.lastgroup
            known = self.known.get(name) or found.get(name)
            # What is cut short ends in `...`, which matches the rest of it.
            if known is not None and not expected.startswith("...", end):
                pattern += f"(?:{re.escape(known)})"
            elif kind in KEPT and not expected.startswith("...", end):
                pattern += f"({FORM_OF[kind]})"
                names.append(name)
            elif kind in KEPT:
                pattern += r"[\w.-]*"
            else:
                pattern += f"(?:{FORM_OF[kind]})"
        pattern += literal(expected[end:], figures)
        matched = re.fullmatch(pattern, actual.rstrip())
        return None if matched is None else dict(zip(names, matched.groups()))


def literal(text, figures):
    parts = []
    for part in re.split(r"(\.\.\.)", text):
        if part == "...":
            parts.append(".*")
        elif figures:
            part = re.sub(r"\s+", " ", UNIT.sub("\0", FIGURE.sub("\1", part)))
            escaped = re.escape(part).replace(r"\ ", r"\s+").replace(" ", r"\s+")
            units, numbers = r"(?:ns|us|ms|s|KiB|MiB|GiB)", r"\d[\d,.]*"
            parts.append(escaped.replace("\\\0", "\0").replace("\0", units).replace("\\\1", "\1").replace("\1", numbers))
        else:
            parts.append(re.escape(part))
    return "".join(parts)


# `waypost serve` listens on free ports instead of those that the document names, and goes on in the background; the
# function returns once the server says where it listens. Whoever serves where another server was, has stopped that one.
PRELUDE = r"""
waypost() {
    case ${1-} in
        serve) shift; waypost_serve "$@" ;;
        config | keygen | completions | man | help | -* | '') "$WAYPOST_BIN" "$@" ;;
        *) WAYPOST_SERVER=${WAYPOST_SERVER-http://127.0.0.1:$(cat "$TERMINAL/50051" 2>/dev/null || echo 1)} "$WAYPOST_BIN" "$@" ;;
    esac
}
waypost_serve() {
    local arg previous='' options=() grpc=50051 page=8080 ops=9090 said=$TERMINAL/said.$RANDOM.$RANDOM
    for arg; do
        case $previous in
            --grpc-addr) grpc=${arg##*:} arg=${arg%:*}:0 ;;
            --page-addr) [[ $arg == off ]] || page=${arg##*:} arg=${arg%:*}:0 ;;
            --ops-addr) [[ $arg == off ]] || ops=${arg##*:} arg=${arg%:*}:0 ;;
        esac
        options+=("$arg")
        previous=$arg
        [[ $arg == --* ]] || previous=''
    done
    if [[ -e $TERMINAL/$grpc.pid ]]; then
        kill "$(cat "$TERMINAL/$grpc.pid")" 2>/dev/null
        wait "$(cat "$TERMINAL/$grpc.pid")" 2>/dev/null
    fi
    : >"$said"  # It may be looked into before the server has opened it.
    WAYPOST_GRPC_ADDR=127.0.0.1:0 WAYPOST_PAGE_ADDR=${WAYPOST_PAGE_ADDR-127.0.0.1:0} WAYPOST_OPS_ADDR=${WAYPOST_OPS_ADDR-127.0.0.1:0} \
        "$WAYPOST_BIN" serve "${options[@]}" >"$said" 2>"$said.log" &
    echo $! >"$TERMINAL/$grpc.pid"
    until grep -q '^  store' "$said"; do
        if ! kill -0 $! 2>/dev/null; then
            wait $!
            local ended=$?
            cat "$said" "$said.log"
            return $ended
        fi
        sleep 0.02
    done
    sed -n 's/^  gRPC .*:\([0-9]*\)$/\1/p' "$said" >"$TERMINAL/$grpc"
    sed -n 's/^  pages .*:\([0-9]*\)$/\1/p' "$said" >"$TERMINAL/$page"
    sed -n 's/^  ops .*:\([0-9]*\)\(\/.*\)\?$/\1/p' "$said" >"$TERMINAL/$ops"
    # The rest of it is said at once.
    sleep 0.05
    cat "$said"
}
cargo() {
    [[ "$1 $2 $3" == 'run --release --' ]] || { echo "this block builds: mark it as not run" >&2; return 1; }
    shift 3
    waypost "$@"
}
"""


class Terminal:
    """A shell in a folder of its own. Ends with all that it started."""

    def __init__(self, folder, binary, programs, environment):
        self.folder = folder / "home"
        self.folder.mkdir()
        self.state = folder / "terminal"
        self.state.mkdir()
        inherited = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
        environment = {
            **inherited, "PATH": path, "WAYPOST_BIN": str(binary), "TERMINAL": str(self.state), "COLUMNS": "100",
            **environment,
        }  # fmt: skip
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        os.set_blocking(self._shell.stdout.fileno(), False)
        status, printed = self.run(PRELUDE)
        assert (status, printed) == (0, ""), printed

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        self._shell.stdin.close()
        self._shell.stdout.close()

    def ports(self):
        """The documented ports, and those of this run."""
        files = [file for file in self.state.iterdir() if file.name.isdigit()]
        return {file.name: file.read_text().strip() for file in files if file.read_text().strip()}

    def run(self, command):
        """Runs a command; its exit code, and what it printed."""
        script = self.state / "command"
        script.write_text(command + "\n")
        end = f"--- the end of a command {time.monotonic_ns()}"
        quoted = shlex.quote(str(script))
        self._shell.stdin.write(f". {quoted} </dev/null; printf '\\n{end} %s\\n' $?\n".encode())
        self._shell.stdin.flush()
        printed = self._read_until(end)
        printed, _, status = printed.rpartition("\n" + end)
        return int(status), printed

    def _read_until(self, end):
        printed, deadline = b"", time.monotonic() + COMMAND_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._shell.stdout, selectors.EVENT_READ)
            while not re.search(re.escape(end).encode() + rb" \d+\n", printed):
                left = deadline - time.monotonic()
                assert left > 0 and selector.select(left), f"it goes on and on:\n{printed.decode(errors='replace')}"
                more = self._shell.stdout.read()
                assert more, f"it ended the shell:\n{printed.decode(errors='replace')}"
                printed += more
        return printed.decode(errors="replace")


def in_background(command):
    """A server goes on in the background anyway, and has to be waited for until it serves."""
    serves = r"((?:^|[;(] *)(?:\w+=\S+ +)*(?:waypost|cargo run --release --) serve\b(?:[^&|;\n]|\\\n)*?)\s*&(?![&>])"
    return re.sub(serves, r"\1;", command)


def quicker(command):
    """Loads of less time and fewer sessions than the document's: the test is of the commands, not of the machine."""
    if "waypost bench" not in command:
        return command
    command = re.sub(r"--duration \S+", "--duration 200ms", command)
    command = re.sub(r"--rate \S+", "--rate 50", command)
    return re.sub(r"--warm-up \S+", "--warm-up 50ms", command)
