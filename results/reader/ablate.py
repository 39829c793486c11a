"""What each idea of the reader is worth: `python results/reader/ablate.py FILM SECOND [ROW ...]`

FILM and SECOND are folders with (part of) grassknoted/asl-alphabet and danrasband/asl-alphabet-test. Each row is trained on all
takes of the film but the last, and writes its numbers into ablation.json beside this file: the accuracy on the last take as it is and
made harder, that on the second test set with its interval, the seconds it took to train, and the milliseconds to read a picture.
Every row is a look at the second test set: count it in results/README.md. Nothing is chosen by it."""
import json, sys, time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import numpy as np
import torch
from fastai.vision.all import aug_transforms
from asl_signs import geometry, sight
from asl_signs.augment import AroundHand, Blur, Coarsen, Erase, Jpeg, Noise, Relight, ReplaceBackground, draw_backgrounds, hard_tfms
from asl_signs.data import get_data
from asl_signs.evaluation import scene_names
from asl_signs.geometry import VaryHands, read_hands, sign_loss, train_hands, without_hand
from asl_signs.hands import find_hands
from asl_signs.pictures import to_rgb
from asl_signs.reader import are_coarse, film_frames, harder_frames, take_apart
from asl_signs.scores import score
from asl_signs.sight import look, look_twice, read_pictures, square_of, train_sight, whole_square
from asl_signs.signs import sign_of

FILE = Path(__file__).with_name('ablation.json')
ARCH, SIZE, STEPS = 'tf_efficientnet_lite0', 96, 1000


@dataclass
class Sets:
    "Frames to train on, and what is read: the held-out take, the same made harder, the second test set"
    train:list
    read:dict
    backgrounds:np.ndarray


def sets(film, second):
    train, held_out = take_apart(film_frames([film]))
    read = {'held-out film': held_out, 'made harder': harder_frames(held_out), 'second test set': get_data([second], sets=['second_test']).second_test}
    return Sets(train, read, draw_backgrounds(3000, SIZE))


def signs_only(told, points, coarse, sign): return sign_loss(told[0].float(), sign, coarse)


def whole(net, files):
    "One look at each whole picture"
    pictures = map(to_rgb, files)
    return np.concatenate([look(net, [picture], [whole_square(picture)], SIZE)[0] for picture in pictures])


def pixels(tfms, read=whole, loss=signs_only, steps=STEPS):
    "A row about pixels: transforms, how pictures are read, what is learned"
    def measure(data):
        hands, started = find_hands(data.train), time.time()
        net = train_sight(hands, are_coarse(data.train), ARCH, size=SIZE, steps=steps, tfms=tfms(data), loss=loss)
        return time.time() - started, partial(read, net)
    return measure


def joints(views=None, **vary):
    "A row about joints: which views are read, how hands are varied"
    def measure(data):
        hands, started = find_hands(data.train), time.time()
        usual, geometry.VaryHands = geometry.VaryHands, partial(VaryHands, **vary)
        try: net = train_hands(hands, are_coarse(data.train))
        finally: geometry.VaryHands = usual
        return time.time() - started, lambda files: told(read_hands(net, find_hands(files), views)[0], without_hand(hands))
    return measure


def told(log, no_hand): return np.where(np.isnan(log), no_hand, log)


PLAIN, LENS = [ReplaceBackground()], [Blur(), Coarsen(), Noise(), Jpeg(), Erase()]
ROWS = { # name -> how it is measured; each of the first ones adds something to the one before
    'pixels, nothing varied': pixels(lambda data: PLAIN),
    "fastai's usual variations, mirroring included": pixels(lambda data: PLAIN + aug_transforms(size=SIZE)),
    'the same without mirroring': pixels(lambda data: PLAIN + aug_transforms(size=SIZE, do_flip=False)),
    'place, size and tilt of the hand': pixels(lambda data: [AroundHand(SIZE), *PLAIN]),
    'light, lens and file': pixels(lambda data: [AroundHand(SIZE), *PLAIN, Relight(), *LENS]),
    'skin and background': pixels(lambda data: hard_tfms(SIZE, data.backgrounds)),
    'joints as a second task': pixels(lambda data: hard_tfms(SIZE, data.backgrounds), loss=sight.sight_loss),
    'looking twice': pixels(lambda data: hard_tfms(SIZE, data.backgrounds), lambda net, files: read_pictures(net, files, size=SIZE), sight.sight_loss),
    'looking where MediaPipe finds the hand': pixels(lambda data: hard_tfms(SIZE, data.backgrounds), lambda net, files: read_pictures(net, files, find_hands(files), SIZE), sight.sight_loss),
    'joints, one view, nothing varied': joints([0], lengths=0, degrees=(0, 0, 0), shake=0, left=0),
    'joints, one view': joints([0]),
    'joints, two views': joints([0, 1]),
    'joints, four views': joints(),
    'joints, four views, fingers bent at random': joints(bend=10),
    'joints, four views, turned by up to 30 degrees in the picture': joints(degrees=(15, 15, 30))}


def accuracies(read, data):
    "Accuracy, pictures, and for the second test set the interval"
    found = {}
    for name, files in data.read.items():
        report = score(np.exp(read(files)), [*map(sign_of, files)], files, scene_names(files) if name == 'second test set' else np.arange(len(files)))
        found[name] = dict(value=report.accuracy, pictures=len(files)) | (dict(interval=report.interval()) if name == 'second test set' else {})
    return found


def measure(name, data):
    seconds, read = ROWS[name](data)
    found, few = accuracies(read, data), data.read['second test set'][:40]
    started = time.time()
    read(few)
    rows = json.loads(FILE.read_text()) if FILE.exists() else {}
    rows[name] = dict(accuracies=found, seconds=round(seconds), ms=round(1e3*(time.time() - started)/len(few), 1), date=time.strftime('%Y-%m-%d'))
    FILE.write_text(json.dumps(rows, indent=1)+'\n')
    print(name, {key: f'{value["value"]:.2%}' for key, value in found.items()}, f'{seconds:.0f} s', flush=True)


if __name__ == '__main__':
    data = sets(*sys.argv[1:3])
    for name in sys.argv[3:] or ROWS: measure(name, data)
