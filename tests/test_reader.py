"""Reading: every file comes out once, as a document or by name with the reason why not."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.corpus.document import Document
from rag.corpus.reader import (
    MAX_FILE_BYTES,
    FoundFile,
    file_digest,
    find_files,
    parse_document,
    read_document,
    read_documents,
)
from rag.errors import EmptyCorpus, UnreadableDocument

SHARED_SEED = Path(__file__).parent.parent.parent / "shared" / "seeds" / "tarlatamab-dlle.md"
FRONT = "---\ntitle: Pain\n---\n"
PAGE = f"{FRONT}\n# Pain\n\nIt hurts.\n"
BOM = b"\xef\xbb\xbf"
NEWLINES = ["\n", "\r\n", "\r"]


def parse(data: bytes) -> Document:
    return parse_document(data, doc_id="pain")


def parse_body(body: str) -> Document:
    return parse((FRONT + body).encode())


def refusal(data: bytes) -> UnreadableDocument:
    with pytest.raises(UnreadableDocument) as caught:
        parse(data)
    return caught.value


def read(file: FoundFile) -> Document | UnreadableDocument:
    try:
        return read_document(file)
    except UnreadableDocument as problem:
        return problem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for documents, with room beside it."""
    folder = tmp_path / "seeds"
    folder.mkdir()
    return folder


def write(path: Path, text: str = PAGE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def outcomes(folder: Path) -> dict[str, str]:
    """Each file's path below the folder, and '' for a document or the reason why it is none."""
    found, _ = find_files(folder)
    results = {file.path.relative_to(folder).as_posix(): read(file) for file in found}
    assert len(results) == len(found)
    return {path: "" if isinstance(item, Document) else item.reason for path, item in results.items()}


# --- from bytes to text ------------------------------------------------------------------------------


def test_a_plain_file_becomes_a_document_as_it_stands() -> None:
    document = parse_document(PAGE.encode(), doc_id="folder/pain")
    assert document.text == PAGE
    assert document.text[document.body_start :] == "\n# Pain\n\nIt hurts.\n"
    assert (document.doc_id, document.metadata.title, document.repairs) == ("folder/pain", "Pain", ())
    assert document.sha256 == hashlib.sha256(PAGE.encode()).hexdigest()


@pytest.mark.parametrize(
    ("data", "repairs"),
    [
        (PAGE.encode(), ()),
        (BOM + PAGE.encode(), ("bom",)),
        (PAGE.replace("\n", "\r\n").encode(), ("newlines",)),
        (PAGE.replace("\n", "\r").encode(), ("newlines",)),
        (PAGE.replace("\n", "\r\n", 3).encode(), ("newlines",)),
        (BOM + PAGE.replace("\n", "\r\n").encode(), ("bom", "newlines")),
    ],
)
def test_bom_and_newlines_leave_no_trace_but_a_record(data: bytes, repairs: tuple[str, ...]) -> None:
    document = parse(data)
    assert (document.text, document.repairs) == (PAGE, repairs)
    assert document.body_start == len(FRONT)
    assert document.sha256 == hashlib.sha256(data).hexdigest()


def test_one_bom_is_dropped_and_one_within_the_text_stays() -> None:
    assert parse_body("zero\ufeffwidth\n").text == f"{FRONT}zero\ufeffwidth\n"
    assert refusal(BOM + BOM + PAGE.encode()).reason.startswith("no front matter")


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\u2028", "\u2029", "\x1c", "\x1b[31m", "\x01"])
def test_signs_that_only_look_like_a_fault_stay(sign: str) -> None:
    body = f"A long line that goes on,{sign}even after that, as long lines like to do.\n"
    document = parse_body(body)
    assert (document.text, document.repairs) == (FRONT + body, ())


# Words as Western languages write them: an accent stands between plain letters.
PLAIN = "bcdfghjklmnpqrstvwxyz"
SYLLABLE = st.tuples(
    st.sampled_from(PLAIN), st.sampled_from("aeiouáàâäãåéèêëíìîïóòôöõøúùûüýæœßñçšžłđığű")
).map("".join)
WORD = st.builds(
    lambda first, syllables, last: first + "".join(syllables) + last,
    st.sampled_from(["", "", "", "É", "À", "Ö", "Å", "Ü", "Ñ", "Ç", "Š", "A"]),
    st.lists(SYLLABLE, min_size=1, max_size=4),
    st.sampled_from(["", *PLAIN]),
)
SIGNS = [
    *("5 µg/m²", "≥ 10 %", "38 °C", "±0.5", "½", "€20", "TNF-α", "β-blocker", "ﬁrst", "eﬀect", "Ｗｉｄｅ"),
    *("🙂", "👩🏽\u200d⚕️", "e\u0301clair", "AT&amp;T", "&eacute;", "[a](/b)", "**bold**", "`x`"),
    *("日本語", "текст", "ελιά", "עברית"),
]
AROUND = [
    *("x", "x", "x", "x,", "x.", "“x”", "‘x’", "«x»", "„x“", "« x »", "(x)", "x’s", "l’x", "x…"),
    *("x–x", "x — x", "x—x", "x®", "x™", "¿x?", "¡x!", "x\u00a0%", "co\u00adx"),
]
WRAPPED = st.builds(
    lambda word, around: around.replace("x", word), WORD | st.sampled_from(SIGNS), st.sampled_from(AROUND)
)
PROSE = st.lists(WRAPPED, max_size=30).flatmap(
    lambda words: st.lists(
        st.sampled_from([" ", " ", " ", "\n", "\n\n", "\n- ", "\n## "]),
        min_size=len(words),
        max_size=len(words),
    ).map(lambda gaps: "".join(gap + word for gap, word in zip(gaps, words, strict=True)))
)


@settings(deadline=None, max_examples=300)
@given(PROSE)
def test_correct_prose_is_left_as_it_is(prose: str) -> None:
    document = parse_body(prose)
    assert (document.text, document.repairs) == (FRONT + prose, ())
    assert document.text[document.body_start :] == prose


@settings(deadline=None)
@given(prose=PROSE, newlines=st.lists(st.sampled_from(NEWLINES), min_size=1), bom=st.booleans())
def test_offsets_do_not_depend_on_bom_or_newline_style(prose: str, newlines: list[str], *, bom: bool) -> None:
    lines = (FRONT + prose).split("\n")
    # An empty line between "\r" and "\n" would make one line end of two.
    ends = [newlines[n % len(newlines)] if line else "\r\n" for n, line in enumerate(lines)]
    styled = "".join(line + end for line, end in zip(lines[:-1], ends, strict=False)) + lines[-1]
    document = parse((BOM if bom else b"") + styled.encode())
    plain = parse_body(prose)
    assert (document.text, document.body_start) == (plain.text, plain.body_start)
    assert document.metadata == plain.metadata


@settings(deadline=None)
@given(st.text(st.characters(codec="ascii", exclude_characters="\r\x00"), max_size=300))
def test_the_text_is_the_decoded_file_when_nothing_needs_repair(body: str) -> None:
    data = (f"{FRONT}{'Words enough to be no binary. ' * 2_000}\n{body}").encode()
    document = parse(data)
    assert (document.text.encode(), document.repairs) == (data, ())
    assert document.text[: document.body_start] == FRONT


# --- mojibake ----------------------------------------------------------------------------------------

MOJIBAKE = {
    "FDAâ€™s approval": "FDA’s approval",
    "50â€“60 mg": "50–60 mg",
    "restâ€”and sleep": "rest—and sleep",
    "and soâ€¦": "and so…",
    "â€œYesâ€\x9d": "“Yes”",
    "â€˜yesâ€™": "‘yes’",
    "â€¢ item": "• item",
    "naÃ¯ve": "naïve",
    "SjÃ¶gren, MÃ©niÃ¨re": "Sjögren, Ménière",
    "voilÃ\xa0": "voilà",
    "38 Â°C": "38 °C",
    "5 Âµg": "5 µg",
    "Â½ tablet": "½ tablet",
    "Â© NCI": "© NCI",
    "â‰¥ 5": "≥ 5",
    "Î²-blocker": "β-blocker",
    "ðŸ˜€": "😀",
    "FDAÃ¢â‚¬â„¢s": "FDA’s",
    "“Yes”, FDAâ€™s naïve – résumé": "“Yes”, FDA’s naïve – résumé",
}


@pytest.mark.parametrize("broken", MOJIBAKE)
def test_mojibake_is_mended_and_recorded(broken: str) -> None:
    document = parse_body(f"# Pain\n\n{broken}\n\nIt’s a “quiet” line.\n")
    assert document.text == f"{FRONT}# Pain\n\n{MOJIBAKE[broken]}\n\nIt’s a “quiet” line.\n"
    assert document.repairs == ("mojibake",)
    assert document.text[document.body_start :].startswith("# Pain\n")


def test_mojibake_in_the_front_matter_is_mended_before_it_is_read() -> None:
    data = "---\ntitle: FDAâ€™s view\neditor: SjÃ¶gren\n---\nBody.\n".encode()
    document = parse(data)
    assert (document.metadata.title, document.metadata.extra) == ("FDA’s view", {"editor": "Sjögren"})
    assert document.text[document.body_start :] == "Body.\n"
    assert document.sha256 == hashlib.sha256(data).hexdigest()


def test_mending_does_not_move_the_line_of_a_mistake() -> None:
    assert refusal("---\ntitle: FDAâ€™s â€œviewâ€\x9d\nlastReviewed: soon\n---\n".encode()).line == 3


def test_all_repairs_are_recorded_in_the_order_they_are_made() -> None:
    document = parse(BOM + (FRONT + "FDAâ€™s\n").replace("\n", "\r\n").encode())
    assert (document.text, document.repairs) == (f"{FRONT}FDA’s\n", ("bom", "newlines", "mojibake"))


def test_the_seed_document_loses_its_mojibake_and_nothing_else() -> None:
    if not SHARED_SEED.is_file():
        pytest.skip(f"{SHARED_SEED} is missing")
    raw = SHARED_SEED.read_bytes().decode()
    document = read_document(FoundFile(SHARED_SEED, "tarlatamab-dlle"))
    assert raw.count("â€™") == raw.count("â") == 1
    assert document.text == raw.replace("â€™", "’")
    assert "is approved under FDA’s Accelerated Approval Program." in document.text
    assert document.repairs == ("mojibake",)
    assert document.text[document.body_start :].startswith("\n# Tarlatamab-dlle - NCI\n")
    assert document.metadata.short_title == "Tarlatamab-dlle"
    assert document.metadata.cancer_types == ("lung",)


# --- titles ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ("# Pain\n\nText.\n", "Pain"),
        ("Text.\n\n## Pain ##\n\n# Ache\n", "Pain"),
        ("#\tPain \t\n", "Pain"),
        ("# C#\n", "C#"),
        ("# C# #\n", "C#"),
        ("# ##\n\n# Pain\n", "Pain"),
        ("#Pain\n", "file-name"),
        ("####### Pain\n", "file-name"),
        ("Text.\n", "file-name"),
        ("", "file-name"),
    ],
)
def test_a_page_without_a_title_is_called_by_its_heading_or_its_file(body: str, title: str) -> None:
    data = f"---\nstatus: active\n---\n{body}".encode()
    assert parse_document(data, doc_id="folder/sub/file-name").metadata.title == title


@pytest.mark.timeout(20)
@pytest.mark.parametrize("filler", [" ", "#", " #", "\t"])
def test_a_heading_of_a_million_signs_costs_no_time(filler: str) -> None:
    assert parse_body(f"# a{filler * 1_000_000}b\n").metadata.title == "Pain"


# --- refused for what they hold ----------------------------------------------------------------------


@pytest.mark.parametrize("newline", NEWLINES)
def test_a_binary_file_is_refused_with_the_line_of_its_first_nul(newline: str) -> None:
    data = (FRONT + "One.\nTwo.\nThr\x00ee.\n\x00").replace("\n", newline).encode()
    problem = refusal(data)
    assert (problem.line, problem.reason) == (6, "a binary file (it holds a NUL byte)")


@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("byte", [b"\xe9", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8", b"\xc0\xaf", b"\x80"])
def test_what_is_not_utf_8_is_refused_with_its_line(newline: str, byte: bytes) -> None:
    data = (FRONT + "Caf").replace("\n", newline).encode() + byte + newline.encode() + b"\xff"
    problem = refusal(data)
    assert (problem.line, problem.reason) == (4, "not valid UTF-8; save it as UTF-8")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"])
def test_a_page_in_another_encoding_is_refused(encoding: str) -> None:
    assert refusal(PAGE.replace("hurts", "hurts à la carte").encode(encoding)).line is not None


@pytest.mark.parametrize("sign", ["\ufffd", "\x01", "\x1b", "\x7f"])
def test_a_book_file_that_was_saved_as_text_is_refused(sign: str) -> None:
    problem = refusal((FRONT + f"BOOKMOBI{sign}text" * 100).encode())
    assert (problem.line, problem.reason) == (
        4,
        "looks binary: 100 unprintable of 1300 characters",
    )


def test_a_stray_unprintable_sign_does_not_cost_the_page() -> None:
    body = "x" * 98 + "\ufffd\x01"
    assert parse_body(body).text == FRONT + body
    assert refusal((FRONT + body[1:]).encode()).reason == "looks binary: 2 unprintable of 99 characters"


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\x7fELF\x02", b"%PDF-1.7\n", b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused(data: bytes) -> None:
    assert refusal(data).line == 1


# --- refused for what they are -----------------------------------------------------------------------


def test_a_file_may_be_as_big_as_the_limit_and_no_bigger(folder: Path) -> None:
    file = FoundFile(write(folder / "pain.md"), "pain")
    size = len(PAGE.encode())
    assert read_document(file, max_bytes=size).text == PAGE
    with pytest.raises(UnreadableDocument) as caught:
        read_document(file, max_bytes=size - 1)
    assert str(caught.value) == f"{file.path}: {size} bytes; the limit is {size - 1}"


def test_a_file_over_the_limit_is_refused_before_it_is_read(folder: Path) -> None:
    # Filled up with NUL bytes, it would be refused for those as soon as it is read.
    os.truncate(write(folder / "in.md"), MAX_FILE_BYTES)
    os.truncate(write(folder / "over.md"), MAX_FILE_BYTES + 1)
    assert outcomes(folder) == {
        "in.md": "a binary file (it holds a NUL byte)",
        "over.md": "10,000,001 bytes; the limit is 10,000,000",
    }


def test_links_are_followed_within_the_folder_only(folder: Path) -> None:
    write(folder / "sub" / "pain.md")
    secret = write(folder.parent / "secret.md")
    beside = write(folder.parent / "seeds-private" / "secret.md")
    (folder / "inside.md").symlink_to("sub/pain.md")
    (folder / "sub" / "up.md").symlink_to(folder / "inside.md")
    (folder / "out.md").symlink_to(secret)
    (folder / "sub" / "out.md").symlink_to("../../secret.md")
    (folder / "beside.md").symlink_to(beside)
    (folder / "twice.md").symlink_to("out.md")
    leads_out = "a symbolic link that leads out of the folder"
    assert outcomes(folder) == {
        "inside.md": "",
        "sub/pain.md": "",
        "sub/up.md": "",
        "out.md": leads_out,
        "sub/out.md": leads_out,
        "beside.md": leads_out,
        "twice.md": leads_out,
    }


def test_links_that_lead_nowhere_are_named(folder: Path) -> None:
    (folder / "gone.md").symlink_to("missing.md")
    (folder / "gone-outside.md").symlink_to("../missing.md")
    (folder / "self.md").symlink_to("self.md")
    (folder / "ping.md").symlink_to("pong.md")
    (folder / "pong.md").symlink_to("ping.md")
    loop = "cannot be read: Too many levels of symbolic links"
    assert outcomes(folder) == {
        "gone.md": "cannot be read: No such file or directory",
        "gone-outside.md": "a symbolic link that leads out of the folder",
        "self.md": loop,
        "ping.md": loop,
        "pong.md": loop,
    }


def test_a_link_to_a_folder_is_named_and_not_followed(folder: Path) -> None:
    write(folder / "real" / "pain.md")
    write(folder.parent / "outside" / "secret.md")
    (folder / "inside").symlink_to("real")
    (folder / "outside").symlink_to("../outside")
    (folder / "real" / "round").symlink_to(folder)
    refused = "a symbolic link to a folder"
    assert outcomes(folder) == {
        "real/pain.md": "",
        "inside": refused,
        "outside": refused,
        "real/round": refused,
    }


def test_a_link_to_a_folder_does_not_take_the_doc_id_of_the_page_beside_it(folder: Path) -> None:
    write(folder / "pain.md")
    write(folder / "real" / "ache.md")
    (folder / "pain").symlink_to("real")
    assert outcomes(folder) == {"pain.md": "", "real/ache.md": "", "pain": "a symbolic link to a folder"}


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    write(folder / "pain.md")
    (folder / "inside.md").symlink_to("pain.md")
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert outcomes(link) == {"pain.md": "", "inside.md": ""}


def test_of_two_files_with_one_doc_id_one_is_refused_by_name(folder: Path) -> None:
    for name in ("pain.md", "pain.markdown", "pain.MD", "sub/pain.md"):
        write(folder / name)
    found, _ = find_files(folder)
    read_ids = [file.doc_id for file in found if file.refusal is None]
    assert read_ids == ["pain", "sub/pain"]
    assert outcomes(folder) == {
        "pain.MD": "",
        "pain.markdown": "the same doc_id as pain.MD; rename one of them",
        "pain.md": "the same doc_id as pain.MD; rename one of them",
        "sub/pain.md": "",
    }


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_and_never_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.md")
    write(folder / "pain.md")
    assert outcomes(folder) == {"pipe.md": "not a regular file", "pain.md": ""}


def test_a_folder_named_like_a_page_is_a_folder(folder: Path) -> None:
    write(folder / "pain.md" / "ache.md")
    found, others = find_files(folder)
    assert ([file.doc_id for file in found], others) == (["pain.md/ache"], 0)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything; for a while this process is nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_named_and_the_others_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "secret.md").chmod(0o200)
    write(folder / "closed" / "hidden.md")
    write(folder / "listed" / "named.md")
    write(folder / "listed" / "sub" / "unseen.md")
    write(folder / "pain.md")
    (folder / "closed").chmod(0o311)
    (folder / "listed").chmod(0o744 if os.geteuid() == 0 else 0o400)
    # pytest's folders are closed to nobody, but the folder we stand in is not.
    monkeypatch.chdir(folder)
    with without_privileges():
        seen = outcomes(Path())
    for name in ("closed", "listed"):
        (folder / name).chmod(0o755)
    assert seen == {
        "secret.md": "cannot be read: Permission denied",
        "closed": "cannot be listed: Permission denied",
        "listed/named.md": "cannot be read: Permission denied",
        "listed/sub": "cannot be listed: Permission denied",
        "pain.md": "",
    }


def test_a_file_gone_since_it_was_found_is_named(folder: Path) -> None:
    write(folder / "ache.md")
    gone = write(folder / "pain.md")
    found, _ = find_files(folder)
    gone.unlink()
    problems = [item for file in found if isinstance(item := read(file), UnreadableDocument)]
    assert [str(problem) for problem in problems] == [f"{gone}: cannot be read: No such file or directory"]


def write_misnamed(folder: Path, *names: bytes) -> None:
    for name in names:
        try:
            write(folder / os.fsdecode(name))
        except OSError:
            pytest.skip("this file system keeps names in UTF-8")


def test_a_file_name_that_is_not_utf_8_is_refused(folder: Path) -> None:
    write_misnamed(folder, b"p\xe4in.md", b"f\xf6lder/pain.md")
    write(folder / "pain.md")
    items = list(read_documents(folder))
    problems = [item for item in items if isinstance(item, UnreadableDocument)]
    assert [problem.reason for problem in problems] == ["the file name is not valid UTF-8"] * 2
    assert len(items) == 3


def test_a_file_name_that_is_not_utf_8_can_be_printed_and_logged(folder: Path) -> None:
    write_misnamed(folder, b"p\xe4in.md")
    (problem,) = read_documents(folder)
    assert str(problem).encode("utf-8").endswith(b"in.md: the file name is not valid UTF-8")


# --- which files -------------------------------------------------------------------------------------


def test_hidden_files_are_left_out_and_others_counted(folder: Path) -> None:
    for name in ("pain.md", "sub/ache.markdown", "sub/LOUD.MD", "two.dots.md"):
        write(folder / name)
    for name in (".hidden.md", ".git/config.md", "sub/.cache/ache.md", ".DS_Store"):
        write(folder / name)
    for name in ("notes.txt", "sub/picture.png", "Makefile", "pain.md.bak", "pain.mdx", "md"):
        write(folder / name)
    found, others = find_files(folder)
    assert [file.doc_id for file in found] == ["pain", "sub/LOUD", "sub/ache", "two.dots"]
    assert others == 6


def test_a_doc_id_is_the_path_below_the_folder_without_the_suffix(folder: Path) -> None:
    for name in ("a/b/c d/é.md", "a/v1.2.md", "a.b/c.markdown"):
        write(folder / name)
    documents = list(read_documents(folder))
    assert all(isinstance(document, Document) for document in documents)
    assert {item.doc_id for item in documents if isinstance(item, Document)} == {
        "a/b/c d/é",
        "a/v1.2",
        "a.b/c",
    }


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    names = ["b/a.md", "a.md", "a/z.md", "a-b.md", "Z.md", "a/a/a.md", "b.md", "é.md", "a10.md", "a9.md"]
    orders = []
    for n, sequence in enumerate((names, names[::-1], sorted(names))):
        for name in sequence:
            write(tmp_path / str(n) / name)
        orders.append([file.doc_id for file in find_files(tmp_path / str(n))[0]])
    expected = sorted(name.removesuffix(".md") for name in names)
    assert orders == [expected] * 3


def test_a_folder_without_markdown_is_an_error_that_says_so(folder: Path) -> None:
    write(folder / "notes.txt")
    write(folder / ".hidden.md")
    with pytest.raises(EmptyCorpus, match=r"seeds holds no markdown file \(\*\.md\)"):
        find_files(folder)
    with pytest.raises(EmptyCorpus, match="holds no markdown file"):
        list(read_documents(folder))


@pytest.mark.parametrize("name", ["missing", "pain.md"])
def test_what_is_no_folder_is_an_error_that_says_so(folder: Path, name: str) -> None:
    write(folder / "pain.md")
    with pytest.raises(EmptyCorpus, match=f"{name} is not a folder"):
        find_files(folder / name)


def test_every_file_comes_out_once_as_a_document_or_by_name(folder: Path) -> None:
    good = {f"good{n}.md": PAGE.replace("Pain", f"Pain {n}") for n in range(5)}
    bad = {
        "no-front-matter.md": "# Pain\n",
        "not-closed.md": "---\ntitle: Pain\n",
        "bad-yaml.md": "---\ntitle: Pain\n\tx: 1\n---\n",
        "bad-date.md": "---\nlastReviewed: soon\n---\n",
        "nul.md": f"{FRONT}\x00",
        "empty.md": "",
        "sub/book.md": FRONT + "\ufffd" * 10,
    }
    for name, text in (good | bad).items():
        write(folder / name, text)
    (folder / "sub" / "latin.md").write_bytes(FRONT.encode() + b"\xe9")
    (folder / "gone.md").symlink_to("missing.md")
    items = list(read_documents(folder))
    documents = [item for item in items if isinstance(item, Document)]
    problems = [item for item in items if isinstance(item, UnreadableDocument)]
    assert [document.metadata.title for document in documents] == [f"Pain {n}" for n in range(5)]
    named = [problem.path.relative_to(folder).as_posix() for problem in problems]
    assert sorted(named) == sorted([*bad, "sub/latin.md", "gone.md"])
    assert len(items) == len(good) + len(bad) + 2
    lines = {problem.path.name: problem.line for problem in problems}
    assert lines == {
        "no-front-matter.md": 1,
        "not-closed.md": 1,
        "bad-yaml.md": 3,
        "bad-date.md": 2,
        "nul.md": 4,
        "empty.md": 1,
        "book.md": 4,
        "latin.md": 4,
        "gone.md": None,
    }


# --- errors and digests ------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [None, 1, 12])
def test_an_error_survives_the_way_between_processes(line: int | None) -> None:
    problem = UnreadableDocument(Path("seeds/pain.md"), "not valid UTF-8", line=line)
    copy = pickle.loads(pickle.dumps(problem))  # noqa: S301 - our own bytes
    assert type(copy) is UnreadableDocument
    assert (copy.path, copy.reason, copy.line) == (problem.path, problem.reason, line)
    assert str(copy) == str(problem) == f"seeds/pain.md{f':{line}' if line else ''}: not valid UTF-8"


def test_a_document_survives_the_way_between_processes() -> None:
    document = parse(BOM + "---\ntitle: Pain\ntags: [a]\nx: {y: [1, 2]}\n---\nFDAâ€™s\n".encode())
    assert pickle.loads(pickle.dumps(document)) == document  # noqa: S301 - our own bytes


def test_a_digest_is_that_of_the_bytes_whether_they_make_a_document_or_not(folder: Path) -> None:
    for data in (PAGE.encode(), BOM + PAGE.encode(), b"", b"\x00\xff"):
        path = folder / "pain.md"
        path.write_bytes(data)
        assert file_digest(FoundFile(path, "pain")) == hashlib.sha256(data).hexdigest()


def test_a_file_whose_bytes_are_not_read_has_its_reason_for_a_digest(folder: Path) -> None:
    path = write(folder / "pain.md")
    refused = FoundFile(path, "pain", refusal="a symbolic link that leads out of the folder")
    assert file_digest(refused) == "a symbolic link that leads out of the folder"
    assert file_digest(FoundFile(path, "pain"), 3) == f"{len(PAGE)} bytes; the limit is 3"


# --- the real pages ----------------------------------------------------------------------------------


def test_the_real_pages_are_read_as_they_stand(nci_slice: list[Path], nci_folder: Path) -> None:
    for path in nci_slice:
        doc_id = path.relative_to(nci_folder).with_suffix("").as_posix()
        document = read_document(FoundFile(path, doc_id))
        decoded = path.read_bytes().decode()
        assert document.text == decoded.replace("\r\n", "\n").replace("\r", "\n")
        assert document.repairs == (("newlines",) if "\r" in decoded else ())
        front, body = document.text[: document.body_start], document.text[document.body_start :]
        assert front.startswith("---\naudienceLevel: ")
        assert front.endswith("\n---\n")
        assert body.startswith("\n#")
        assert document.metadata.title in body
