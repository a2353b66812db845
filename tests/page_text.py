"""A report's page as lines of plain text, for tests that ask what a person reads on it."""

import re
from html import unescape
from pathlib import Path


def page_text(page: Path) -> str:
    """Return a page's words: ``- name: value``, ``| cell | cell |``, ``**verdict** why``."""
    body = page.read_text().partition("<body>")[2]
    body = re.sub(r"<(style|svg)\b.*?</\1>", "", body, flags=re.DOTALL)
    for pattern, text in (
        (r"<dt>(.*?)</dt><dd>(.*?)</dd>", r"\n- \1: \2\n"),
        (
            r"<tr>(.*?)</tr>",
            lambda row: f"\n| {' | '.join(re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', row[1]))} |\n",
        ),
        (r'<span class="verdict \w+">(.*?)</span>', r"**\1**"),
        (r"<h(\d)>(.*?)</h\d>", lambda title: f"\n{'#' * int(title[1])} {title[2]}\n"),
        (r"<small>(.*?)</small>", r" (\1)"),
        (r"<pre><code>|</code></pre>|<p[^>]*>", "\n"),
    ):
        body = re.sub(pattern, text, body, flags=re.DOTALL)
    lines = unescape(re.sub(r"<[^>]+>", "", body)).splitlines()
    return "\n".join(line for line in lines if line.strip()) + "\n"
