"""How near the small test pictures are to the film that is trained on

python bench/measure/twins.py 100px-24cls:64px-29cls:96px-28cls:200px-28cls   (folders with copies of the film)

For each small test picture: the most similar frame of its sign in any of the copies. The numbers go to
results/film/twins.json."""
from datetime import date
from pathlib import Path
import numpy as np
from asl_signs.core.signs import number_of, sign_of
from asl_signs.data import get_data
from asl_signs.datasets.similarity import thumbnails
from measuring import RESULTS, parser, write


def most_similar(asked, frames):
    "For each picture its most similar frame of the same sign, and whether that of any sign shows the same one"
    signs, products = np.array([*map(sign_of, frames)]), thumbnails(asked) @ thumbnails(frames).T
    for file, row in zip(asked, products):
        own = np.flatnonzero(signs == sign_of(file))
        if not own.size: continue # a copy that lacks the sign
        best = own[row[own].argmax()]
        yield dict(sign=sign_of(file), frame=number_of(frames[best]), correlation=round(float(row[best]), 3),
                   read=bool(signs[row.argmax()] == sign_of(file)))


def measure_twins(copies):
    "The small test pictures of the first copy, looked up in all of them"
    asked = next(iter(copies.values())).small_test
    found = {name: [*most_similar(asked, data.train)] for name, data in copies.items()}
    best = {sign_of(file): max(({**one, 'copy': name} for name, ones in found.items() for one in ones
                                if one['sign'] == sign_of(file)), key=lambda one: one['correlation']) for file in asked}
    about = {name: dict(side=data.size, frames=len(data.train), pictures=len(found[name]),
                        read=sum(one['read'] for one in found[name]),
                        median=round(float(np.median([one['correlation'] for one in found[name]])), 3))
             for name, data in copies.items()}
    twins = [{name: value for name, value in one.items() if name != 'read'} for one in best.values()]
    return dict(pictures=len(asked), copies=about, twins=twins)


def main(argv=None):
    "Look the pictures up, and write down how near they are"
    args = parser(__doc__)
    args.add_argument('folders', help='separated by colons; the first has the small test pictures')
    folders = [Path(folder) for folder in args.parse_args(argv).folders.split(':')]
    copies = {folder.name: get_data([folder], sets=['train'], people=()) for folder in folders}
    about = dict(command=f'python bench/measure/twins.py {":".join(copies)}', date=f'{date.today()}',
                 machine='2 processor cores')
    write(RESULTS/'film'/'twins.json', about | measure_twins(copies))


if __name__ == '__main__': main()
