"""What a bundle reads of held-out film, by how it reads and how its numbers are kept

`python bench/measure/precision.py FILM ...`

FILM are folders with (part of) grassknoted/asl-alphabet, those that the reader was trained on. The frames are those
that were held out, as they are and made harder. Nothing here looks at the second test set. The numbers go to
results/inference/precision.json."""
import json, tempfile, time
from pathlib import Path
import numpy as np
from asl_signs.models.export import export_reader
from asl_signs.inference import SignReader
from asl_signs.models.recipe import film_frames, harder_frames, load_reader, take_apart
from asl_signs.core.signs import sign_of
from measuring import RESULTS, parser

FILE, KEPT = RESULTS/'inference'/'precision.json', RESULTS/'reader'/'kept'


def accuracy(reader, files):
    "The share that is read right, with every picture counted"
    return float(np.mean([one.best == sign_of(file) for one, file in zip(reader.read_many(files), files)]))


def read_by(folder, sets, **how):
    "Accuracies of a bundle"
    reader = SignReader(folder, **how)
    return {name: accuracy(reader, files) for name, files in sets.items()}


def measure(films):
    "A row for each precision and way to read"
    held_out = take_apart(film_frames(films))[1]
    sets, found = {'held-out film': held_out[::4], 'made harder': harder_frames(held_out)[::4]}, {}
    train = take_apart(film_frames(films))[0]
    with tempfile.TemporaryDirectory() as temp:
        for precision in ('float32', 'float16', 'int8'):
            folder = Path(temp)/precision
            try: parity = export_reader(load_reader(KEPT), folder, train[::97], precision)
            except Exception as e:
                found[precision] = dict(refused=str(e))
                continue
            size = sum(file.stat().st_size for file in folder.iterdir())/1e6
            found[precision] = dict(megabytes=size, parity=parity.sight) | read_by(folder, sets, hands=False)
        for views in (1, 4):
            found[f'float16, hands, views={views}'] = read_by(Path(temp)/'float16', sets, hands=True, views=views)
    return dict(pictures={name: len(files) for name, files in sets.items()}, date=time.strftime('%Y-%m-%d'), rows=found)


def main(argv=None):
    "Measure all rows, and write them down"
    args = parser(__doc__)
    args.add_argument('films', nargs='+', metavar='film', help='a folder')
    FILE.write_text(json.dumps(measure(args.parse_args(argv).films), indent=1)+'\n')
    print(FILE.read_text())


if __name__ == '__main__': main()
