"""What mkdocs does beside its plugins, so that pages that are read in the repository are the same on the site.

**Links.** Pages in docs/ may point at any file of the repository, where the pages are read as well. The site lies
elsewhere, so such a file is copied into it, under ``source/``, and the link leads there.

**Tables.** A bar in code, in a cell, is written with a backslash, which Python-Markdown does not need and would show.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_OUTSIDE = re.compile(r"\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")
_ROW = re.compile(r"^\|.*$", re.MULTILINE)
_CODE = re.compile(r"`[^`]+`")
_COPIES = "source"


def _copy(target: str, page: str) -> tuple[str, str]:
    """Return the place in the repository that ``target`` of ``page`` names, and the file of the site that it becomes.

    Markdown and code are shown as the text that they are: hence ``.txt``.
    """
    place = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    shown = place if Path(place).suffix in {".png", ".svg", ".csv", ".json", ".ipynb"} else f"{place}.txt"
    return place, f"{_COPIES}/{shown}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages point at outside docs/."""
    repository = Path(config.config_file_path).parent
    for page in files.documentation_pages():
        for target, _ in _OUTSIDE.findall(page.content_string):
            place, copy = _copy(target, page.src_uri)
            if (repository / place).is_file() and files.get_file_from_path(copy) is None:
                files.append(File.generated(config, copy, abs_src_path=str(repository / place)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at the copies, and write bars in tables as they are shown.

    A link to what does not exist stays, and mkdocs complains of it.
    """
    uri = page.file.src_uri

    def pointed(match: re.Match[str]) -> str:
        copy = _copy(match[1], uri)[1]
        if files.get_file_from_path(copy) is None:
            return match[0]
        return f"]({posixpath.relpath(copy, posixpath.dirname(uri) or '.')})"

    def shown(row: re.Match[str]) -> str:
        return _CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0])

    return _ROW.sub(shown, _OUTSIDE.sub(pointed, markdown))
