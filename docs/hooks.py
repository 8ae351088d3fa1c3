"""For mkdocs: pages link to files outside of this folder (tests, sources), and the site takes copies of these along."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

LINK = re.compile(r"\]\((?P<path>\.\./[^)#\s]+)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    docs = Path(config.docs_dir).resolve()
    here = Path(page.file.src_uri).parent

    def copied(link: re.Match[str]) -> str:
        target = (docs / here / link["path"]).resolve()
        if target.is_relative_to(docs) or not target.is_file():
            return link[0]
        uri = f"source/{target.relative_to(docs.parent).as_posix()}"
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(target)))
        return f"]({os.path.relpath(uri, here)})"

    return LINK.sub(copied, markdown)
