"""The learning rate and the size of a small network that learn best, searched for on a madrpc cluster.

    python search.py [--address HOST:PORT] [--picture FILE.png]
"""

import argparse
import itertools
import pathlib
import statistics

import madrpc

HERE = pathlib.Path(__file__).parent
RATES = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
HIDDEN = [2, 4, 8, 16, 32]
SEEDS = [1, 2, 3]

parser = argparse.ArgumentParser(description="A grid search of hyperparameters on a madrpc cluster.")
parser.add_argument("--address", help="an orchestrator or node whose script is train.js; default: a cluster of its own")
parser.add_argument("--picture", type=pathlib.Path, help="a heat map (needs matplotlib)")


def search(client: madrpc.Client) -> dict[tuple[float, int], float]:
    """The accuracy of each point of the grid, a mean over some seeds."""
    with madrpc.Executor(client) as executor:
        futures = {
            (rate, hidden): [executor.submit("train", rate=rate, hidden=hidden, seed=seed) for seed in SEEDS]
            for rate, hidden in itertools.product(RATES, HIDDEN)
        }
        return {point: statistics.mean(run.result() for run in runs) for point, runs in futures.items()}


def draw(found: dict[tuple[float, int], float], file: pathlib.Path) -> None:
    import matplotlib.pyplot as plt

    grid = [[found[rate, hidden] for rate in RATES] for hidden in HIDDEN]
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    image = axes.imshow(grid, origin="lower", vmin=0.5, vmax=1, cmap="viridis")
    for row, column in itertools.product(range(len(HIDDEN)), range(len(RATES))):
        accuracy = grid[row][column]
        axes.text(column, row, f"{accuracy:.0%}", ha="center", va="center", color="white" if accuracy < 0.85 else "black")
    axes.set_xticks(range(len(RATES)), RATES)
    axes.set_yticks(range(len(HIDDEN)), HIDDEN)
    axes.set(xlabel="learning rate", ylabel="hidden units", title="Two spirals: points told apart")
    figure.colorbar(image, shrink=0.8)
    figure.savefig(file, dpi=100)


def main() -> None:
    args = parser.parse_args()
    if args.address:
        found = search(madrpc.connect(args.address, timeout=600))
    else:
        with madrpc.Cluster(HERE / "train.js") as cluster:
            found = search(cluster.connect(timeout=600))
    best = max(found, key=found.__getitem__)
    print(f"best of {len(found)}: learning rate {best[0]}, {best[1]} hidden units: {found[best]:.1%} right")
    if args.picture:
        draw(found, args.picture)


if __name__ == "__main__":
    main()
