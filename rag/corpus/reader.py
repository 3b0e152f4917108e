"""Files to documents: found in a stable order, decoded, repaired, refused by name when unusable.

Every markdown file below the root comes out once, as a document or as the reason why not.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ftfy

from rag.corpus.document import Document
from rag.corpus.frontmatter import FrontMatterError, parse_metadata, split_front_matter
from rag.errors import EmptyCorpus, UnreadableDocument

MAX_FILE_BYTES = 10_000_000
SUFFIXES = (".md", ".markdown")

_BOM = b"\xef\xbb\xbf"
_BINARY_SHARE = 0.02
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.*)", re.MULTILINE)

# Only wrongly decoded bytes are mended; quotes, ligatures and widths are the author's own.
_MOJIBAKE_ONLY = ftfy.TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    fix_surrogates=False,
    remove_control_chars=False,
    normalization=None,
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A markdown file below `root`; `refusal` is set when its place alone disqualifies it."""

    path: Path
    doc_id: str
    refusal: str | None = None


def find_files(root: Path) -> tuple[list[FoundFile], int]:
    """List the markdown files below `root` in a stable order, and count the other files.

    Hidden files and folders are left out. Links that lead out of `root`, links to folders, two files
    with one `doc_id` and names that are not text are refused. Raises `EmptyCorpus`.
    """
    if not root.is_dir():
        raise EmptyCorpus(f"{root} is not a folder; name the folder that holds your markdown files")
    found: list[FoundFile] = []
    others = 0

    def unlistable(error: OSError) -> None:
        found.append(_refused(Path(error.filename), root, f"cannot be listed: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, onerror=unlistable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        here = Path(folder)
        found += [
            _refused(here / name, root, "a symbolic link to a folder")
            for name in subfolders
            if _is_link(here / name)
        ]
        for name in names:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in SUFFIXES:
                found.append(_found(here / name, root))
            else:
                others += 1
    if not found:
        raise EmptyCorpus(f"{root} holds no markdown file (*.md); documents are markdown files")
    return _unique(sorted(found, key=lambda file: (file.doc_id, str(file.path)))), others


def _doc_id(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _refused(path: Path, root: Path, reason: str) -> FoundFile:
    return FoundFile(path, path.relative_to(root).as_posix(), refusal=reason)


def _found(path: Path, root: Path) -> FoundFile:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return _refused(path, root, "the file name is not valid UTF-8")
    if _is_link(path) and _leads_out(path, root):
        return _refused(path, root, "a symbolic link that leads out of the folder")
    return FoundFile(path, _doc_id(path, root))


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:
        return False  # reading it will say why


def _leads_out(link: Path, root: Path) -> bool:
    try:
        return not link.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False  # a loop of links; reading it will say so


def _unique(files: list[FoundFile]) -> list[FoundFile]:
    taken: dict[str, Path] = {}
    result = []
    for file in files:
        if file.refusal is None and (first := taken.setdefault(file.doc_id, file.path)) != file.path:
            reason = f"the same doc_id as {first.name}; rename one of them"
            result.append(FoundFile(file.path, file.doc_id, reason))
        else:
            result.append(file)
    return result


def read_document(file: FoundFile, *, max_bytes: int = MAX_FILE_BYTES) -> Document:
    """Read one file. Raises `UnreadableDocument` with the line to blame where there is one."""
    data = _load(file, max_bytes)
    try:
        return parse_document(data, doc_id=file.doc_id, path=file.path)
    except UnreadableDocument as problem:
        problem.sha256 = hashlib.sha256(data).hexdigest()
        raise


def file_digest(file: FoundFile, max_bytes: int = MAX_FILE_BYTES) -> str:
    """SHA-256 of the file's bytes, hex; for a file whose bytes are not read, the reason why not."""
    try:
        return hashlib.sha256(_load(file, max_bytes)).hexdigest()
    except UnreadableDocument as problem:
        return problem.reason


def read_documents(root: Path | str) -> Iterator[Document | UnreadableDocument]:
    """Yield every markdown file below `root` as a document, or as the error that says why not."""
    for file in find_files(Path(root))[0]:
        try:
            yield read_document(file)
        except UnreadableDocument as problem:
            yield problem


def parse_document(data: bytes, *, doc_id: str, path: Path | None = None) -> Document:
    """Turn the bytes of a file into a document. Raises `UnreadableDocument`."""
    path = path or Path(f"{doc_id}.md")
    text, repairs = _decode(data, path)
    try:
        source, body_start = split_front_matter(text)
        _refuse_binary(text, body_start, path)
        metadata = parse_metadata(
            source,
            headings=_titles(text, body_start),
            fallback_title=doc_id.rpartition("/")[2],
        )
    except FrontMatterError as error:
        raise UnreadableDocument(path, error.reason, line=error.line) from None
    digest = hashlib.sha256(data).hexdigest()
    return Document(doc_id, text, body_start, metadata, digest, repairs)


def _load(file: FoundFile, max_bytes: int) -> bytes:
    path = file.path
    if file.refusal:
        raise UnreadableDocument(path, file.refusal)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableDocument(path, "not a regular file")
        if status.st_size > max_bytes:
            raise UnreadableDocument(path, f"{status.st_size:,} bytes; the limit is {max_bytes:,}")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableDocument(path, f"cannot be read: {error.strerror}") from None


def _decode(data: bytes, path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the text after the repairs, and the names of the repairs that changed it."""
    if b"\x00" in data:
        line = _line_at(data, data.index(b"\x00"))
        raise UnreadableDocument(path, "a binary file (it holds a NUL byte)", line=line)
    repairs = []
    if data.startswith(_BOM):
        data = data.removeprefix(_BOM)
        repairs.append("bom")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _line_at(data, error.start)
        raise UnreadableDocument(path, "not valid UTF-8; save it as UTF-8", line=line) from None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        repairs.append("newlines")
    mended = ftfy.fix_text(text, _MOJIBAKE_ONLY)
    if mended != text:
        repairs.append("mojibake")
    return mended, tuple(repairs)


def _line_at(data: bytes, position: int) -> int:
    """The line of a byte, counted from 1 in any of the three newline styles."""
    before = data[:position]
    return before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n") + 1


def _titles(text: str, body_start: int) -> list[str]:
    """The headings that stand as a page's title: the first of all, and every one of level 1.

    Real pages often repeat their title, and only the second may say for whom it is.
    """
    headings = enumerate(_HEADING.finditer(text, body_start))
    return [_words(match.group(2)) for n, match in headings if n == 0 or match.group(1) == "#"]


def _words(heading: str) -> str:
    """A heading without the '#' signs that may close it."""
    words = heading.rstrip()
    unclosed = words.rstrip("#")
    return unclosed.rstrip() if unclosed[-1:] in ("", " ", "\t") else words


def _refuse_binary(text: str, body_start: int, path: Path) -> None:
    body = text[body_start:]
    unprintable = len(_UNPRINTABLE.findall(body))
    if unprintable > _BINARY_SHARE * len(body):
        line = text.count("\n", 0, body_start) + 1
        raise UnreadableDocument(
            path, f"looks binary: {unprintable} unprintable of {len(body)} characters", line=line
        )
