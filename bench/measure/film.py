"""The numbers on the real film that nbs/datasets/06_film.ipynb shows

python bench/measure/film.py likeness 100px-24cls            (a folder with grassknoted/asl-alphabet, or its archive)
python bench/measure/film.py splits 96px-28cls:test-dev      (folders with both archives)

The numbers go to results/film/."""
import time
from datetime import date
from pathlib import Path
import numpy as np
import pandas as pd
from fastai.vision.all import RandomSplitter
from asl_signs.data import get_data, train_small
from asl_signs.core.signs import number_of
from asl_signs.datasets.film import TAKES, films, nearest_similarity
from asl_signs.datasets.similarity import thumbnails
from measuring import RESULTS, parser, write


def take_splitter(first, last, gap=100):
    "A fastai splitter that keeps one part of the film; more than `gap` frames lie between the sides"
    def split(files):
        numbers = [*enumerate(map(number_of, files))]
        return ([i for i, number in numbers if number < first - gap or number > last + gap],
                [i for i, number in numbers if first <= number <= last])
    return split


DISTANCES, GAPS = (5, 10, 20, 50, 100, 150, 200, 400, 800), (0, 50, 100, 150, 200, 300)
SPLITS = {
    'a random fifth': RandomSplitter(.2, seed=42),
    'frames 1201 to 1800, within a take': take_splitter(1201, 1800),
    **{f'frames {first} to {last}, a whole take': take_splitter(first, last) for first, last in TAKES}}


def similarity_by_distance(files, distances):
    "How similar frames of a sign are that lie so far apart: percentiles 10, 50 and 90 of correlations"
    rows = {distance: [] for distance in distances}
    for frames in films(files).values():
        at, pictures = {number_of(frame): i for i, frame in enumerate(frames)}, thumbnails(frames)
        for distance, found in rows.items():
            found += [pictures[i] @ pictures[at[n + distance]] for n, i in at.items() if n + distance in at]
    table = {distance: np.percentile(found, [10, 50, 90]) for distance, found in rows.items() if found}
    return pd.DataFrame.from_dict(table, orient='index', columns=[10, 50, 90]).rename_axis('distance')


def similarity_matrix(files, block):
    "Mean correlations (blocks, blocks) between blocks of a film, averaged over the signs; nan where one is empty"
    blocks = max((number_of(file) - 1)//block for file in files) + 1
    return np.nanmean([block_similarity(frames, block, blocks) for frames in films(files).values()], axis=0)


def block_similarity(frames, block, blocks):
    "The mean of all products between two blocks, which is the product of their means"
    of, pictures = np.array([(number_of(frame) - 1)//block for frame in frames]), thumbnails(frames)
    means = np.stack([pictures[of == b].mean(0) if (of == b).any() else np.full(pictures.shape[1], np.nan)
                      for b in range(blocks)])
    return means @ means.T


def measure_similarity(data):
    "How similar the frames are"
    nearest = {gap: np.median(nearest_similarity(data.train, take_splitter(1201, 1800, gap))) for gap in GAPS}
    return dict(
        frames=len(data.train), signs=len(films(data.train)),
        likeness=similarity_by_distance(data.train, DISTANCES).reset_index().round(3).to_dict('records'),
        matrix=similarity_matrix(data.train, 100).astype(float).round(2).tolist(),
        nearest=[dict(gap=gap, median=round(float(middle), 3)) for gap, middle in nearest.items()])


def measure_splits(data):
    "What the small network reads, by the way the film was split; the second test set is looked at for two of them"
    return dict(runs=[measure_split(data, name) for name in SPLITS])


def measure_split(data, name):
    start, learn = time.time(), train_small(data, SPLITS[name])
    found = dict(kept=name, trained=len(learn.dls.train_ds), pictures=len(learn.dls.valid_ds), accuracy=score(learn))
    if name in ('a random fifth', 'frames 2001 to 2500, a whole take'):
        found['second'] = score(learn, learn.dls.test_dl(data.second_test, with_labels=True))
        found['second_pictures'] = len(data.second_test)
    return found | dict(seconds=round(time.time() - start))


def score(learn, dl=None): return round(float(learn.validate(dl=dl)[-1]), 4)


def main(argv=None):
    "Measure one of the two, and write it down"
    args = parser(__doc__)
    args.add_argument('what', choices=('likeness', 'splits'))
    args.add_argument('folders', help='separated by colons')
    what, folders = vars(args.parse_args(argv)).values()
    data = get_data(folders, sets=['train'], people=())
    found = (measure_similarity if what == 'likeness' else measure_splits)(data)
    names = ':'.join(Path(folder).name for folder in folders.split(':'))
    about = dict(command=f'python bench/measure/film.py {what} {names}', date=f'{date.today()}',
                 machine='2 processor cores')
    write(RESULTS/'film'/f'{what}.json', about | found)


if __name__ == '__main__': main()
