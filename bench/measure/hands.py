"""How often MediaPipe finds the hand in the film, and whether it knows a right hand from a left one

python bench/measure/hands.py detection 96px-28cls     (a folder with grassknoted/asl-alphabet, or its archive; minutes)
python bench/measure/hands.py film 96px-28cls          (all frames in all views; several minutes, then from the cache)

The numbers go to results/hands/."""
import json, random
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
import numpy as np
from tqdm import tqdm
from asl_signs.data import get_data
from asl_signs.datasets.hands import find_hands
from asl_signs.runtime.config import View
from asl_signs.runtime.finder import HandFinder
from asl_signs.runtime.landmarks import palm_side, prepare
from asl_signs.core.pictures import to_rgb
from asl_signs.core.signs import sign_of
from measuring import RESULTS, parser

SHOWN = { # description -> view, longer side in pixels, both thresholds
    'as it is': (View(0, 0, 1), 256, .5),
    'a margin of a quarter': (View(.25, 0, 1), 224, .5),
    'the same, softened by 1 % and gamma .6': (View(.25, .01, .6), 224, .5),
    'the same, thresholds .05': (View(.25, .01, .6), 224, .05)}


def rate(hits): return round(float(np.mean(hits)), 4)


def measure_detection(files):
    "In which share of random frames a hand is found, by how they are shown"
    files = random.Random(1).sample(sorted(files), 560)
    empty = np.array([sign_of(file) == 'nothing' for file in files])
    found = {name: np.array([seen(file, *how) for file in tqdm(files, name)]) for name, how in SHOWN.items()}
    return dict(pictures=int((~empty).sum()), nothing=int(empty.sum()),
                found={name: rate(hits[~empty]) for name, hits in found.items()},
                found_in_nothing={name: int(hits[empty].sum()) for name, hits in found.items()})


@cache
def finder(threshold): return HandFinder(confidence=threshold)


def seen(file, view, side, threshold):
    return finder(threshold).detect(np.asarray(prepare(to_rgb(file), view, side))) is not None


def measure_film(hands):
    "What all views show of all frames"
    empty = np.array([sign_of(file) == 'nothing' for file in hands.files])
    found, heights = hands.found, palm_side(hands.landmarks)
    shows, any_view = found & ~empty[:, None], (found.any(1) & ~empty)
    said = np.where(hands.left == 1, -1, 1)*hands.score # above 0: MediaPipe says that it is a right hand
    return dict(pictures=int((~empty).sum()), nothing=int(empty.sum()),
                found_by_view=[rate(column) for column in found[~empty].T],
                found_in_any_view=rate(found[~empty].any(1)),
                found_in_nothing_by_view=found[empty].sum(0).tolist(),
                found_in_nothing_in_any_view=int(found[empty].any(1).sum()),
                right_by_mediapipe=rate(said[shows] > 0), right_by_thumb=rate(heights[shows] > 0),
                right_by_mediapipe_mean_of_views=rate(np.nanmean(said[any_view], 1) > 0),
                right_by_thumb_mean_of_views=rate(np.nanmean(heights[any_view], 1) > 0))


def write(name, folder, found):
    about = dict(command=f'python bench/measure/hands.py {name} {Path(folder).name}',
                 data='grassknoted/asl-alphabet, 300 frames of 28 signs at 96 pixels',
                 date=f'{date.today()}', mediapipe=version('mediapipe'), pillow=version('pillow'))
    (RESULTS/'hands'/f'{name}.json').write_text(json.dumps(about | found, indent=1) + '\n')


def main(argv=None):
    "Measure one of the two, and write it down"
    args = parser(__doc__)
    args.add_argument('what', choices=('detection', 'film'))
    args.add_argument('folder')
    args = args.parse_args(argv)
    files = get_data(args.folder, sets=['train'], people=()).train
    found = measure_detection(files) if args.what == 'detection' else measure_film(find_hands(files))
    write(args.what, args.folder, found)


if __name__ == '__main__': main()
