"""Every command in every document is run as it stands there, and prints what the document says."""

import pathlib
import re
import sysconfig
import urllib.parse

import pytest
from documents import Names, Terminal, in_background, quicker, read_blocks
from postgres import Postgres
from running_server import BINARY, REPOSITORY

DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "SECURITY.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
SCRIPTS = pathlib.Path(sysconfig.get_path("scripts"))

# A busy machine is slower than what the commands wait for by themselves.
PATIENCE = {"WAYPOST_TIMEOUT": "60s", "WAYPOST_HEALTHCHECK_TIMEOUT": "60s"}

# How commands say that they failed; a document that shows one of these means it.
FAILURES = re.compile(r"^(waypost: |waypost config|ERROR:|error: )", re.MULTILINE)


@pytest.fixture(scope="module")
def postgres():
    """Started for the first document that needs it."""
    with Postgres() as postgres:
        yield postgres


def blocks_of(document):
    return [block for block in read_blocks(document) if block.commands]


@pytest.mark.parametrize(
    "document", [document for document in DOCUMENTS if blocks_of(document)], ids=lambda document: document.name
)
def test_the_commands_of(document, tmp_path, request):
    names, environment = Names(), {"BUF": str(SCRIPTS / "buf"), **PATIENCE}
    if "db.example.com" in document.read_text():
        folder = str(request.getfixturevalue("postgres").folder)
        environment |= {"PGHOST": folder, "PGUSER": "postgres", "PGDATABASE": "postgres"}
        names.known["@db.example.com"] = "@" + urllib.parse.quote(folder, safe="")
    programs = [pathlib.Path(BINARY).parent, pathlib.Path(__file__).parent]
    with Terminal(tmp_path, pathlib.Path(BINARY).resolve(), programs, environment) as terminal:
        for block in blocks_of(document):
            for command in block.first:
                status, printed = run(terminal, names, command)
                assert status == 0, f"{document.name}:{block.line}: first {command}\n{printed}"
            for command in block.commands:
                check(terminal, names, document, block, command)


def run(terminal, names, text):
    """Runs a command of the document; what it printed, with the ports that the document knows."""
    text = quicker(in_background(names.in_run(text)))
    if not re.match(r"(\w+=\S+ +)*(waypost|cargo run --release --) serve\b", text):
        for documented, actual in terminal.ports().items():
            text = re.sub(rf"(?<=:){documented}\b", actual, text)
    status, printed = terminal.run(text)
    for documented, actual in terminal.ports().items():
        printed = re.sub(rf"(?<=:){actual}\b", documented, printed)
    printed = printed.replace(str(terminal.folder), "/home/you")
    if "@db.example.com" in names.known:
        printed = printed.replace(names.known["@db.example.com"], "@db.example.com")
    return status, printed


def check(terminal, names, document, block, command):
    status, printed = run(terminal, names, command.text)
    actual = [line.rstrip() for line in printed.strip("\n").split("\n")] if printed.strip() else []
    expected = without_blank_end(command.printed)
    # What a server says when it starts is shown where that is the subject.
    starts = not expected and re.search(r"\bserve\b", command.text)
    right = starts or names.match(expected, actual, block.figures)
    shown = "\n".join(expected)
    meant_to_fail = FAILURES.search(shown) is not None
    if right and (status != 0) <= meant_to_fail:
        return
    pytest.fail(
        f"{document.relative_to(REPOSITORY)}:{command.line}: $ {command.text}\n"
        f"--- the document shows\n{shown}\n--- it prints (exit code {status})\n" + "\n".join(actual),
        pytrace=False,
    )


def without_blank_end(lines):
    lines = [line.rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return lines


def test_blocks_that_are_not_run_say_why(capsys):
    """Told aloud, so that it is seen when they become many."""
    left_out = [
        f"{document.relative_to(REPOSITORY)}:{block.line}: {block.not_run}"
        for document in DOCUMENTS
        for block in read_blocks(document)
        if block.not_run is not None
    ]
    ran = sum(len(blocks_of(document)) for document in DOCUMENTS)
    with capsys.disabled():
        print(f"\n{ran} blocks of commands are run, {len(left_out)} are not:", *left_out, sep="\n  ")
    assert all(reason.rpartition(": ")[2] for reason in left_out)


def test_metrics_that_documents_name_exist():
    known = set(re.findall(r"^## `(waypost_\w+)`", (REPOSITORY / "docs" / "metrics.md").read_text(), re.MULTILINE))
    assert known
    # In code, and not tables of PostgreSQL.
    named = re.compile(r"`(waypost_\w+)(?:\{[^`]*\})?`")
    text = (REPOSITORY / "docs" / "deployment.md").read_text()
    assert set(named.findall(text)) <= known


def test_links_between_documents_lead_somewhere():
    for document in DOCUMENTS:
        text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
            if re.match(r"\w+:", target):
                continue
            file = (document.parent / target).resolve() if target else document
            assert file.exists(), f"{document.name} leads to {target}, which is not there"
            if anchor and file.suffix == ".md":
                assert anchor in anchors(file), f"{document.name} leads to {target}#{anchor}, which is no heading"


def test_every_guide_stands_in_the_index():
    index = REPOSITORY / "docs" / "README.md"
    guides = {document.name for document in index.parent.glob("*.md")} - {index.name}
    assert guides == set(re.findall(r"\]\(([\w-]+\.md)\)", index.read_text()))


def anchors(document):
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_document_that_is_wrong_is_found():
    """The comparison itself: what passes, and what does not."""
    one, other = "01986132-e354-7676-9b4a-fc8dd5c5253e", "01a1feb2-9e2b-734b-948c-8db35c791c1a"

    def matches(expected, actual, names=None, figures=False):
        return (names or Names()).match(expected.split("\n"), actual.split("\n"), figures)

    assert matches("paid", "paid") and not matches("paid", "open")
    assert not matches("paid", "paid\nmore") and not matches("paid\nmore", "paid")
    assert matches("{\n  ...\n}", "{\n  a\n  b\n}") and not matches("{\n  ...\n}", "{\n  a\n  b")
    assert matches("https://x?a=1&...", "https://x?a=1&b=2") and not matches("https://x?a=1&...", "https://x?a=2")
    names = Names()
    assert matches(f"invoice_{one}", f"invoice_{other}", names)
    assert names.in_run(f"waypost get invoice_{one}") == f"waypost get invoice_{other}"
    assert not matches(f"id={one}", f"id={one}", names), "the document's id is that of the run by now"
    assert matches("took 12.5 ms of 3,000", "took 7 us of 10", figures=True) and not matches("took 12", "took 13")
    assert not matches("took 12 ms", "takes 12 ms", figures=True)
