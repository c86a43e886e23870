"""The most frequent words of the licences that Debian ships, counted on a madrpc cluster.

    python count.py [--address HOST:PORT] [--texts FOLDER] [--picture FILE.png]
"""

import argparse
import collections
import pathlib

import madrpc

HERE = pathlib.Path(__file__).parent

parser = argparse.ArgumentParser(description="The most frequent words of some texts, counted on a madrpc cluster.")
parser.add_argument("--address", help="an orchestrator or node whose script is words.js; default: a cluster of its own")
parser.add_argument("--texts", type=pathlib.Path, default="/usr/share/common-licenses", help="default: %(default)s")
parser.add_argument("--picture", type=pathlib.Path, help="a bar chart (needs matplotlib)")


def paragraphs(folder: pathlib.Path):
    """The argument of each call: some 8 KB of text, cut between paragraphs."""
    # Some are there under a second name.
    for file in sorted(file for file in folder.iterdir() if file.is_file() and not file.is_symlink()):
        text = ""
        for paragraph in file.read_text(errors="replace").split("\n\n"):
            text += paragraph + "\n\n"
            if len(text) > 8000:
                yield {"text": text}
                text = ""
        yield {"text": text}


def count(client: madrpc.Client, texts: pathlib.Path) -> collections.Counter[str]:
    counts = collections.Counter()
    # A sum has no order: results are added as they come.
    for part in client.map("words", paragraphs(texts), ordered=False):
        counts.update(part)
    return counts


def draw(top: list[tuple[str, int]], file: pathlib.Path) -> None:
    import matplotlib.pyplot as plt

    words, counts = zip(*reversed(top))
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    axes.bar_label(axes.barh(words, counts, color="#3b6ea5"), padding=3)
    axes.margins(x=0.08, y=0.01)
    axes.set_title("The words of free software")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    figure.savefig(file, dpi=100)


def main() -> None:
    args = parser.parse_args()
    if args.address:
        counts = count(madrpc.connect(args.address), args.texts)
    else:
        with madrpc.Cluster(HERE / "words.js") as cluster:
            counts = count(cluster.connect(), args.texts)
    top = counts.most_common(20)
    for word, number in top:
        print(f"{number:6} {word}")
    print(f"{counts.total():6} words of 5 letters or more, {len(counts)} different ones")
    if args.picture:
        draw(top, args.picture)


if __name__ == "__main__":
    main()
