"""The pages that the classifier is measured on: manuals of Debian 12's documentation packages, labelled page by page.

python docs/classifier_pages.py OUT                       # on Debian 12: fetches 2 GB of packages with apt-get, keeps none
octo corpus extract OUT/html.jsonl --out OUT/pages.jsonl
octo bench classifier --pages OUT/pages.jsonl --labels OUT/labels.jsonl          # every labelled page
octo bench classifier --pages OUT/pages.jsonl --labels OUT/clear.jsonl           # without the other pages of maths manuals

docs/classifier_labels.txt, a line a package: `package version site page…`, each page the first 6 hex digits of its path's SHA-256
and a letter: m (its substance is mathematics: it defines, explains, proves or computes mathematical objects), n (anything else,
bare listings of names and signatures included), u (could be argued either way; not used). Of a manual's HTML the first by a hash
of package and path were taken that are English and have 500 characters or more: up to 5, 8, 16 or 20, more where mathematics was
to be expected, and up to 40 more of manuals in which three such pages were found. So the share that is mathematics is no base
rate.
A large language model read title, beginning and middle of each page's text, not its address; a second letter is a second,
independent reading.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from octothinker.corpus.extract.page import decode

BATCH = 20  # packages on the disk at once
LABELS = Path(__file__).with_name("classifier_labels.txt")


def key(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:6]


def packages() -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """(package, version, site, {key of a page: letters})"""
    for line in LABELS.read_text(encoding="utf-8").splitlines():
        package, version, site, *pages = line.split(" ")
        yield package, version, site, {page[:6]: page[6:] for page in pages}


def download(names: Sequence[str], folder: Path) -> None:
    """Their archives; one that is not to be had is said and left out."""
    done = subprocess.run(["apt-get", "-q", "download", *names], cwd=folder, capture_output=True, text=True)
    if done.returncode and len(names) == 1:
        print(f"\n{names[0]}: {done.stderr.strip()}", file=sys.stderr)
    elif done.returncode:
        for name in names:
            download([name], folder)


def pages_of(deb: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(path in the package, content) of the wanted pages."""
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as unpacked,
        tarfile.open(fileobj=unpacked.stdout, mode="r|") as tar,
    ):
        for member in tar:
            path = member.name.removeprefix("./")
            if member.isfile() and path.endswith((".html", ".htm", ".xhtml", ".html.gz")) and key(path) in wanted:
                raw = cast(IO[bytes], tar.extractfile(member)).read()
                yield path, gzip.decompress(raw) if path.endswith(".gz") else raw


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    everything = list(packages())
    maths = {site for *_, site, pages in everything if any(letters[0] == "m" for letters in pages.values())}
    twice = [letters for *_, pages in everything for letters in pages.values() if len(letters) == 2]
    same, pairs = sum(a == b for a, b in twice), dict(Counter(twice))
    print(f"{same} of {len(twice)} pages that were read twice have the same letter: {pairs}", file=sys.stderr)
    found = Counter[str]()
    with (
        open(out / "html.jsonl", "w", encoding="utf-8") as html,
        open(out / "labels.jsonl", "w", encoding="utf-8") as labels,
        open(out / "clear.jsonl", "w", encoding="utf-8") as clear,
    ):
        for done in range(0, len(everything), BATCH):
            with tempfile.TemporaryDirectory(dir=out) as name:
                folder, some = Path(name), everything[done : done + BATCH]
                download([package for package, *_ in some], folder)
                for package, version, site, pages in some:
                    for deb in folder.glob(f"{package}_*.deb"):
                        if (here := deb.name.split("_")[1].replace("%3a", ":")) != version:
                            print(f"\n{package}: labelled in version {version}, read in {here}", file=sys.stderr)
                        for path, raw in pages_of(deb, pages):
                            letter, url = pages[key(path)][0], f"https://{site}.example/{package}/{path}"
                            if letter == "u":
                                continue
                            found[letter] += 1
                            html.write(json.dumps({"url": url, "html": decode(raw)}) + "\n")
                            label = "math" if letter == "m" else "other"
                            row = json.dumps({"url": url, "label": label, "source": site}) + "\n"
                            labels.write(row)
                            if letter == "m" or site not in maths:
                                clear.write(row)
            print(f"\r{done + len(some)} of {len(everything)} packages, {found.total()} pages", end="", file=sys.stderr)
    known = Counter(letters[0] for *_, pages in everything for letters in pages.values())
    print(
        f"\n{out}: {found['m']} of {known['m']} pages about mathematics, {found['n']} of {known['n']} others",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
