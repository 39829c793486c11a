"""What more people bring: `python bench/measure/people.py FILM [FILM …] --people PERSON [PERSON …]`

Landmarks and pixels are trained briefly on one, two, five, ten and more people, each time on the same number of
pictures, and read people who were left out. A last row has twice as many pictures of the one person in the film.
Every picture of the people left out counts, and so do those without a hand."""
import numpy as np
from asl_signs.core.signs import sign_of
from asl_signs.datasets.hands import find_hands
from asl_signs.datasets.people import even_weights, people_files, person_of
from asl_signs.metrics.people import by_person
from asl_signs.models.joints import train_ensemble
from asl_signs.models.pixels import get_squares, train_pixels
from asl_signs.models.recipe import FILM, film_frames, training_pictures
from asl_signs.runtime.crops import read_pictures
from asl_signs.runtime.config import ReadingConfig
from asl_signs.runtime.fusion import fused, landmark_log_probs, normalised
from measuring import RESULTS, parser, write


def evenly(files, number):
    "So many of these files, from the first to the last"
    return [files[i*len(files)//number] for i in range(min(number, len(files)))]


def shared(pictures, people, number):
    "About so many pictures of these people, as evenly as they have them; who has few gives all"
    chosen, left = [], number
    own = sorted(([file for file, name in pictures.items() if name == person] for person in people), key=len)
    for i, files in enumerate(own):
        some = evenly(files, left//(len(own) - i))
        chosen, left = chosen + some, left - len(some)
    return chosen


def row(pictures, chosen, hands, left_out, steps, squares):
    "How models trained on some pictures read the people left out"
    own = hands.of(chosen)
    weights = even_weights([pictures[file] for file in chosen], [*map(sign_of, chosen)])
    strangers, config = hands.of(left_out), ReadingConfig(both_ways=(True, False))
    net = train_ensemble(own, weights, 1, steps=3*steps, quiet=True)
    landmarks = np.nan_to_num(landmark_log_probs(net, strangers, both_ways=True)[0])
    pixels = read_pictures(train_pixels(own, weights, steps=steps, squares=squares), left_out, strangers, None, config)
    read = dict(landmarks=normalised(landmarks), pixels=pixels, both=fused([landmarks, pixels], [1, 1]))
    who = [pictures[file] for file in left_out]
    tables = {name: by_person(np.exp(logs), left_out, who).table.accuracy.to_dict() for name, logs in read.items()}
    return dict(pictures=len(chosen), people=len({pictures[file] for file in chosen}), accuracies=tables)


def main(argv=None):
    "Train on more and more people, and keep what was read"
    args = parser(__doc__)
    args.add_argument('film', nargs='+', help='a folder')
    args.add_argument('--people', nargs='+', required=True, help='folders or zips')
    args.add_argument('--left-out', nargs='+', required=True, help='names of the people who are read')
    args.add_argument('--number', type=int, default=2800, help='pictures to train on (default: 2800)')
    args.add_argument('--steps', type=int, default=250, help='batches of 64 pictures (default: 250)')
    args = args.parse_args(argv)
    files = people_files(args.people)
    pictures = training_pictures(film_frames(args.film, 100), files)
    left_out = [file for file in files if person_of(file) in args.left_out and file in pictures]
    names = [name for name in dict.fromkeys(pictures.values()) if name not in args.left_out]
    hands, squares = find_hands([*pictures]), get_squares([*pictures])
    counts = [count for count in (1, 2, 5, 10) if count < len(names)] + [len(names)]
    def how_many(count): return f'{count} {"person" if count == 1 else "people"}'
    rows = {how_many(count): shared(pictures, names[:count], args.number) for count in counts}
    rows['1 person, twice the pictures'] = shared(pictures, [FILM], 2*args.number)
    found = {name: row(pictures, chosen, hands, left_out, args.steps, squares) for name, chosen in rows.items()}
    about = dict(left_out=sorted(args.left_out), number=args.number, steps=args.steps)
    write(RESULTS/'people'/'curve.json', about | dict(rows=found))


if __name__ == '__main__': main()
