"""What half precision and eight bits change: `python bench/measure/precision.py FILM`

FILM is a folder with (part of) grassknoted/asl-alphabet. The reader was trained on it, so this says nothing about how
well it reads: only how many predictions change, and how large the bundle is. To results/inference/precision.json."""
import tempfile, time
from pathlib import Path
import numpy as np
from asl_signs.inference import SignReader
from asl_signs.models.export import export_reader
from asl_signs.models.recipe import film_frames, load_reader
from measuring import RESULTS, parser, write

KEPT = RESULTS/'reader'/'kept'


def predictions(folder, files):
    "What a bundle reads in whole pictures"
    return [one.best for one in SignReader(folder, hands=False).read_many(files)]


def measure(films, most=10):
    "A row for each precision"
    files, found, first = film_frames(films, most), {}, None
    with tempfile.TemporaryDirectory() as temp:
        for precision in ('float32', 'float16', 'int8'):
            folder = Path(temp)/precision
            parity = export_reader(load_reader(KEPT), folder, files[::7], precision)
            read = predictions(folder, files)
            first = first or read
            found[precision] = dict(megabytes=sum(file.stat().st_size for file in folder.iterdir())/1e6,
                                    parity=parity.pixels, same=float(np.mean([a == b for a, b in zip(first, read)])))
    return dict(pictures=len(files), date=time.strftime('%Y-%m-%d'), rows=found)


def main(argv=None):
    "Measure all rows, and write them down"
    args = parser(__doc__)
    args.add_argument('films', nargs='+', metavar='film', help='a folder')
    write(RESULTS/'inference'/'precision.json', measure(args.parse_args(argv).films))


if __name__ == '__main__': main()
